"""The built files: fresh, taken by promtool without a complaint, and reading nothing that no process serves."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from observability.rules.alert import JobRunbook
from observability.rules.build import ROOT, alerts, built, files, main
from observability.rules.config import ObservabilityConfig
from observability.rules.promql import FOREIGN, METRICS, Query, metrics_in
from observability.rules.recording import recordings
from tests.observability.programs import program

CONFIG = ObservabilityConfig()
EXPRESSIONS = {each.name: each.expr for each in alerts(CONFIG)} | {
    each.record: each.expr for each in recordings(CONFIG)
}
CHANGES = {
    "jobs": "acme-.*", "worker_job": "acme-w", "scheduler_job": "acme-s", "exporter_job": "acme-e",
    "redis_job": "acme-r", "postgres_job": "acme-p", "prometheus_job": "acme-prom", "alertmanager_job": "acme-am",
    "redis_targets": "r:9121", "postgres_targets": "p:9187, q:9187", "mail_to": "a@example.org",
    "grafana_url": "https://g.example.org", "queue_stall": "20m", "smtp_tls": "false",
}  # fmt: skip


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *words], capture_output=True, text=True, check=False)


def write(folder: Path, config: ObservabilityConfig, own: tuple[JobRunbook, ...] = ()) -> Path:
    for name, text in files(config, own).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_files_are_what_the_code_builds() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in built().items() if path.read_text("utf-8") != text]
    assert stale == [], "run `python -m observability.rules.build`"


def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], tmp_path) == 1
    assert "prometheus/prometheus.yml is out of date" in capsys.readouterr().err
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0


@pytest.mark.parametrize("changes", [{}, CHANGES], ids=["as built", "changed"])
def test_promtool_finds_nothing_to_mend(tmp_path: Path, changes: dict[str, str]) -> None:
    folder = write(tmp_path, CONFIG.changed(changes), (JobRunbook("a", "https://x.example/a"),))
    linted = promtool("check", "rules", "--lint=all", "--lint-fatal", *map(str, folder.glob("prometheus/rules/*.yml")))
    assert linted.returncode == 0, linted.stdout + linted.stderr
    checked = promtool("check", "config", str(folder / "prometheus" / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rule files found" in checked.stdout


def test_a_bad_rule_would_be_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text("groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]")
    assert promtool("check", "rules", "--lint=all", "--lint-fatal", str(path)).returncode != 0


@pytest.mark.parametrize("name", sorted(EXPRESSIONS))
def test_an_expression_reads_only_what_is_served(name: str) -> None:
    assert metrics_in(EXPRESSIONS[name]) <= set(METRICS) | set(FOREIGN)
    recorded = set(re.findall(r"\b[a-z]+:callboard_[a-z0-9_:]+", EXPRESSIONS[name]))
    assert recorded <= {each.record for each in recordings(CONFIG)}


def test_a_metric_that_nobody_serves_stops_the_build() -> None:
    with pytest.raises(KeyError, match="callboard_unheard_of"):
        Query(CONFIG)("unheard_of")


def test_labels_of_matchers_are_labels_of_the_metric() -> None:
    for name, expr in EXPRESSIONS.items():
        for metric, matchers in re.findall(r"(?<![:\w])(callboard_[a-z0-9_]+)\{([^}]*)\}", expr):
            family = next(iter(metrics_in(metric)))
            labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers)) - {"job", "le"}
            assert labels <= set(METRICS[family].labels), f"{name}: {metric} has no label {labels}"


def test_every_selector_names_a_scrape_job_of_the_configuration() -> None:
    config = CONFIG.changed(CHANGES)
    text = "\n".join(each.expr for each in (*alerts(config), *recordings(config)))
    assert "callboard-" not in text
    selectors = re.findall(r"(?<![:\w])(?:callboard_\w+|up|redis_\w+|pg_\w+)\{([^}]*)\}", text)
    assert selectors
    assert [selector for selector in selectors if "job=~" not in selector] == []
    bare = re.findall(r"(?<![:\w])callboard_[a-z0-9_]+(?![\w{:])", re.sub(r'"[^"]*"', "", text))
    assert [name for name in bare if name in METRICS] == []


def test_gauges_of_the_exporter_are_read_through_max_or_min() -> None:
    """Two exporters side by side must not count twice."""
    for name, expr in EXPRESSIONS.items():
        for metric in metrics_in(expr):
            served = METRICS.get(metric)
            if served is None or served.process != "exporter" or served.kind != "gauge":
                continue
            assert re.search(rf"(max|min|count)( by \([a-z, ]+\))? ?\([^)]*{metric}", expr, re.DOTALL), (name, metric)


def test_each_alert_has_all_that_a_page_needs() -> None:
    tree = yaml.safe_load((ROOT / "prometheus/rules/callboard.alerts.yml").read_text())
    rules = [rule for group in tree["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) >= 35
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "command", "runbook_url", "dashboard_url"}
        assert "{{" not in notes["summary"]
        assert notes["summary"].endswith(".")
        assert notes["runbook_url"] == f"{CONFIG.runbook_url}/{rule['alert']}.md"


def test_a_dashboard_link_names_a_dashboard_and_its_variables() -> None:
    from observability.dashboards.build import render

    pages = {
        name.removesuffix(".json"): {each["name"] for each in json.loads(text)["templating"]["list"]}
        for name, text in render(CONFIG).items()
    }
    for alert in alerts(CONFIG):
        assert alert.dashboard in pages, alert.name
        assert set(alert.link) <= pages[alert.dashboard], alert.name


def test_a_jobs_own_runbook_is_linked_from_its_alerts(tmp_path: Path) -> None:
    folder = write(tmp_path, CONFIG, (JobRunbook("a", "https://x.example/a"), JobRunbook("b", "https://x.example/b")))
    tree = yaml.safe_load((folder / "prometheus/rules/callboard.alerts.yml").read_text())
    notes = {rule["alert"]: rule["annotations"] for group in tree["groups"] for rule in group["rules"]}
    assert notes["CallboardRunStuck"]["job_runbook_url"] == (
        '{{ if eq $labels.actor "a" }}https://x.example/a{{ else if eq $labels.actor "b" }}https://x.example/b{{ end }}'
    )
    assert "job_runbook_url" not in notes["CallboardQueueStalled"]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("canary_age_secnds", "3", "did you mean canary_age_seconds"),
        ("canary_age_seconds", "soon", "must be a number"),
        ("canary_age_seconds", "0", "must be above 0"),
        ("worker_restarts", "1.5", "must be a whole number"),
        ("smtp_tls", "maybe", "must be true or false"),
        ("queue_stall", "ten", "must be a span"),
        ("worker_job", "(", "is no regular expression"),
        ("worker_job", 'a"b', "quotation mark"),
        ("worker_targets", "worker", "must be host:port"),
        ("grafana_url", "grafana", "must be an http or https address"),
    ],
)
def test_a_wrong_field_is_refused_with_its_name(name: str, value: str, told: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}.*{re.escape(told)}"):
        CONFIG.changed({name: value})
