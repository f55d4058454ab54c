"""The built dashboards: the rules of grafana/dashboard-linter, and our own on top.

Of dashboard-linter we leave out `template-instance` and `target-instance`: worker hosts come and go, and to choose one
is no question that these dashboards answer. `target-logql` and its like have nothing to look at: no panel asks Loki.
"""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from observability.catalogue import CATALOGUE
from observability.dashboards.build import ROOT, files, main, outdated, render
from observability.dashboards.links import UIDS, to
from observability.dashboards.query import scoped
from observability.rules.config import ObservabilityConfig
from observability.rules.recording import recordings
from tests.observability._panels import Target, boards, every_panel, links, marks, metrics_of, panels, targets

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = ObservabilityConfig()
PROMQL = [target for target in targets() if target.expr]
BOARDS = pytest.mark.parametrize("uid", list(boards()))
RECORDED = {rule.record for rule in recordings(CONFIG)}
SERVED = {
    name: metric
    for metric in CATALOGUE
    for name in (
        [metric.name + part for part in ("_bucket", "_sum", "_count")] if metric.kind == "histogram" else [metric.name]
    )
}


def test_all_dashboards_are_there() -> None:
    assert sorted(boards()) == sorted(UIDS)


def test_the_committed_files_are_what_the_code_builds() -> None:
    assert outdated() == [], "run `python -m observability.dashboards`"


def test_a_changed_a_missing_and_a_forgotten_file_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    overview, job = (tmp_path / "grafana" / "dashboards" / f"callboard-{name}.json" for name in ("overview", "job"))
    overview.write_text("{}", "utf-8")
    job.unlink()
    (tmp_path / "grafana" / "dashboards" / "callboard-gone.json").write_text("{}", "utf-8")
    assert main(["--check"], tmp_path) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("callboard-overview.json", "callboard-job.json", "callboard-gone.json"))


def test_every_dashboard_has_its_picture() -> None:
    pictures = ROOT / "docs" / "img" / "dashboards"
    assert sorted(path.stem for path in pictures.glob("*.png")) == sorted(UIDS)
    assert all(path.stat().st_size < 250_000 for path in pictures.glob("*.png"))


@BOARDS
def test_grafanas_own_types_know_every_field(uid: str) -> None:
    """What the SDK's model does not keep when it reads the JSON is no field of Grafana's schema."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # after our package, which has quieted its warning
    from grafana_foundation_sdk.models.dashboard import Dashboard

    board = boards()[uid]
    again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    assert _without_own(again) == _without_own(board)


def _without_own(value: object) -> object:
    """The SDK has no type for a value's link, nor for SQL: both are compared by the tests that use them."""
    if isinstance(value, dict):
        return {key: _without_own(inner) for key, inner in value.items() if key not in ("links", "targets")}
    return [_without_own(inner) for inner in value] if isinstance(value, list) else value


@BOARDS
def test_it_imports_by_file_and_by_hand(uid: str) -> None:
    board = boards()[uid]
    assert board["uid"] == uid
    assert "id" not in board
    assert "__inputs" not in board
    assert "__requires" not in board
    assert "DS_PROMETHEUS" not in json.dumps(board)
    assert 39 <= board["schemaVersion"] <= 42
    assert board["editable"] is False
    assert board["timezone"] == "utc"
    assert board["graphTooltip"] == 1
    assert {"graph", "singlestat", "table-old", "piechart"}.isdisjoint(panel["type"] for panel in board["panels"])


@BOARDS
def test_panels_have_ids_of_their_own_and_do_not_overlap(uid: str) -> None:
    places = [(panel["id"], panel["gridPos"]) for panel in boards()[uid]["panels"]]
    assert len({number for number, _ in places}) == len(places)
    for (one, a), (other, b) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one, other)
    assert all(place["x"] + place["w"] <= 24 for _, place in places)


@BOARDS
def test_the_menu_keeps_time_and_variables(uid: str) -> None:
    (menu,) = boards()[uid]["links"]
    assert menu["includeVars"]
    assert menu["keepTime"]
    assert menu["tags"] == boards()[uid]["tags"] == ["callboard-mixin"]


@BOARDS
def test_variables(uid: str) -> None:
    variables = {variable["name"]: variable for variable in boards()[uid]["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["label"]) == ("datasource", "Data source")
    assert variables["datasource"]["query"] == "prometheus"
    job = variables["job"]
    assert (job["type"], job["multi"], job["includeAll"], job["allValue"], job["label"]) == (
        "query",
        True,
        True,
        ".+",
        "Job",
    )
    for variable in variables.values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert variable["datasource"]["uid"] == "${datasource}"


@BOARDS
def test_marks_on_the_time_axis(uid: str) -> None:
    assert [mark["name"] for mark in boards()[uid]["annotations"]["list"]] == [
        "Deploys",
        "Firing alerts",
        "Missed ticks",
    ]


@pytest.mark.parametrize(
    ("uid", "panel"), list(every_panel()), ids=lambda part: part if isinstance(part, str) else part["title"]
)
def test_a_panel_says_what_good_looks_like(uid: str, panel: dict[str, Any]) -> None:
    shows, good = panel["description"].split("\n\n**Good:** ")
    assert panel["title"]
    assert min(len(shows), len(good)) >= 2
    assert panel["fieldConfig"]["defaults"]["unit"], uid
    assert panel["targets"]
    assert panel["datasource"]["uid"] in ("${datasource}", "${ledger}")
    for query in panel["targets"]:
        assert query["datasource"] == panel["datasource"]
    letters = [query["refId"] for query in panel["targets"]]
    assert len(set(letters)) == len(letters)


def test_titles_are_told_apart() -> None:
    for board in boards().values():
        titles = [panel["title"] for panel in panels(board)]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("target", [*PROMQL, *marks()], ids=lambda target: target.id)
def test_a_query_names_only_what_is_served_or_recorded(target: Target) -> None:
    """With labels that the metric has, the scrape job in each selector, and counters only as rates."""
    for name in metrics_of(target.expr):
        if ":" in name:
            assert name in RECORDED
        elif name.startswith("callboard_"):
            assert name in SERVED
            _check_selectors(name, target.expr)
        else:
            assert 'job=~"$job"' in target.expr


def _check_selectors(name: str, expr: str) -> None:
    metric = SERVED[name]
    known = {*metric.labels, "job", "instance", "le"}
    for found in re.finditer(rf"(?<![\w:]){name}(?!\w)(?P<labels>\{{[^}}]*\}})?(?P<span>\[[^\]]+\])?", expr):
        labels = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", found["labels"] or "")
        assert 'job=~"$job"' in (found["labels"] or ""), found[0]
        assert set(labels) <= known, found[0]
        before = expr[: found.start()]
        if metric.kind != "gauge":
            assert found["span"], f"{name} is a counter: ask for its rate or increase"
            assert re.search(r"(rate|increase)\($", before), found[0]
        if before.endswith((" rate(", "(rate(")):
            assert found["span"] == "[$__rate_interval]", found[0]


@pytest.mark.parametrize("target", PROMQL, ids=lambda target: target.id)
def test_labels_that_are_grouped_by_exist(target: Target) -> None:
    ours = [name for name in metrics_of(target.expr) if name in SERVED]
    if not ours or len(ours) < len(metrics_of(target.expr)) or "ALERTS" in target.expr:
        return
    known = {label for name in ours for label in SERVED[name].labels} | {"le", "instance", "job", "version"}
    for group in re.findall(r"(?:by|on|without|group_left) \(([^)]*)\)", target.expr):
        assert {label.strip() for label in group.split(",") if label.strip()} <= known, target.expr


@pytest.mark.parametrize("target", PROMQL, ids=lambda target: target.id)
def test_legends_name_labels_that_the_query_keeps(target: Target) -> None:
    for label in re.findall(r"\{\{(\w+)\}\}", target.query.get("legendFormat") or ""):
        assert re.search(rf"\b{label}\b", target.expr) or ":" in target.expr or label == "instance"


@pytest.mark.parametrize("target", PROMQL, ids=lambda target: target.id)
def test_new_jobs_and_queues_need_no_edit(target: Target) -> None:
    for name, chosen in re.findall(r'\b(actor|queue|schedule|slo)=~?"([^"]*)"', target.expr):
        assert chosen in (f"${name}", ".+")


def test_every_metric_is_on_a_panel_or_in_an_alert() -> None:
    asked = " ".join(target.expr for target in [*PROMQL, *marks()])
    rules = " ".join(path.read_text("utf-8") for path in (ROOT / "prometheus").rglob("*.yml"))
    unused = [
        name for name in SERVED if SERVED[name].kind != "histogram" and not re.search(rf"\b{name}\b", asked + rules)
    ]
    unused += [metric.name for metric in CATALOGUE if metric.kind == "histogram" and f"{metric.name}_" not in asked]
    assert unused == []


def test_every_link_leads_to_a_dashboard_and_keeps_the_time() -> None:
    names = {uid: {variable["name"] for variable in board["templating"]["list"]} for uid, board in boards().items()}
    found = [url for board in boards().values() for url in links(board["panels"])]
    assert len(found) > 50
    for url in found:
        if url.startswith(CONFIG.runbook_url):
            continue
        path, query = url.split("?", 1)
        uid = path.removeprefix("/d/")
        assert uid in names, url
        assert "${__url_time_range}" in query
        assert "${datasource:queryparam}" in query
        assert set(re.findall(r"var-(\w+)=", query)) <= names[uid], url


def test_a_link_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="callboard-nowhere"):
        to("nowhere", "Nowhere")


def test_links_of_tables_name_columns_that_there_are() -> None:
    for _, panel in every_panel():
        if panel["type"] != "table":
            continue
        query = panel["targets"][0].get("rawSql", "")
        renamed = panel.get("transformations", [{}, {}])[-1].get("options", {}).get("renameByName", {})
        columns = set(re.findall(r'as "([^"]+)"', query)) | set(renamed.values())
        for url in links(panel["fieldConfig"]):
            assert set(re.findall(r'\$\{__data\.fields\["([^"]+)"\]\}', url)) <= columns, url
        names = {each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"]}
        assert names <= columns, panel["title"]


def test_every_dashboard_is_reached_from_the_overview() -> None:
    reached = {uid for url in links(boards()["callboard-overview"]["panels"]) for uid in UIDS if uid in url}
    assert reached >= set(UIDS) - {"callboard-overview", "callboard-platform"}


def test_settings_reach_the_dashboards() -> None:
    other = CONFIG.changed(
        {"jobs": "acme-.+", "runbook_url": "https://wiki.example.org/run", "redis_job": "acme-redis"}
    )
    texts = "".join(render(other).values())
    assert "acme-.+" in texts
    assert "https://wiki.example.org/run/" in texts
    assert "acme-redis" in texts
    assert CONFIG.runbook_url not in texts


def test_the_scrape_job_is_put_into_every_selector_of_ours() -> None:
    assert scoped("sum(callboard_workers)") == 'sum(callboard_workers{job=~"$job"})'
    assert scoped('callboard_workers{state="alive"} > 1') == 'callboard_workers{job=~"$job",state="alive"} > 1'
    assert scoped("queue:callboard_ready:max + x") == "queue:callboard_ready:max + x"


def test_the_page_of_the_docs_has_every_panel() -> None:
    text = files()[ROOT / "docs" / "reference" / "dashboards.md"]
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.count(" | ") == 3]
    assert all(f"| {panel['title']} |" in text for _, panel in every_panel())
    assert len(rows) >= len(list(every_panel()))
    assert all(a or b for a, b in pairwise(text.splitlines()[:-1])), "two empty lines in a row"
