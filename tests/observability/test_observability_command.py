"""`callboard observability render` and `check`, the latter against a real Prometheus."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from cli import execute
from observability.catalogue import CATALOGUE, Metric
from tests.observability.programs import program
from tests.support import eventually, free_port


def test_render_writes_all_three_with_the_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["--set", "worker_targets=w1:9192,w2:9192", "--set", "runbook_url=https://wiki.example.org/r"]
    assert execute(["observability", "render", "--out", str(tmp_path / "new"), *changes]) == 0
    told = capsys.readouterr().out.split()
    written = sorted(str(path) for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert sorted(told) == written
    assert [path for path in written if path.endswith("grafana/dashboards/callboard-overview.json")]
    scraped = yaml.safe_load((tmp_path / "new/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert scraped[0]["static_configs"] == [{"targets": ["w1:9192", "w2:9192"]}]
    alerts = (tmp_path / "new/prometheus/rules/callboard.alerts.yml").read_text()
    assert "https://wiki.example.org/r/CallboardRunStuck.md" in alerts


@pytest.mark.parametrize(
    ("option", "told"), [("canary", "must look like KEY=VALUE"), ("canary_age_secnds=3", "did you mean")]
)
def test_a_wrong_change_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, told: str
) -> None:
    assert execute(["observability", "render", "--out", str(tmp_path), "--set", option]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_prometheus_that_is_away_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert execute(["observability", "check", "--prometheus", url]) != 0
    assert f"Prometheus at {url} gave no answer" in capsys.readouterr().err


def sample(metric: Metric) -> str:
    labels = ",".join(f'{label}="x"' for label in metric.labels)
    name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
    return f"{name}{{{labels}}} 1\n"


@contextmanager
def exposing(left_out: set[str]) -> Iterator[str]:
    """Something that serves one sample of each metric of the catalogue but of those left out when it is asked."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            page = "".join(sample(metric) for metric in CATALOGUE if metric.name not in left_out)
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    port = free_port()
    targets = [f"{kind}_targets={target}" for kind in ("worker", "scheduler", "exporter")]
    options = [word for each in [*targets, f"prometheus_targets=127.0.0.1:{port}"] for word in ("--set", each)]
    assert execute(["observability", "render", "--out", str(folder), *options, "--set", "scrape_interval=1s"]) == 0
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program("prometheus"), f"--config.file={folder / 'prometheus/prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def scraped(url: str) -> bool:
    """Whether every target of ours was scraped twice, and the rules were evaluated."""
    try:
        query = 'count(count_over_time(up{job=~"callboard-.+"}[1m]) >= 2)'
        result = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()["data"]["result"]
        rules = httpx.get(f"{url}/api/v1/rules").json()["data"]["groups"]
    except (httpx.HTTPError, ValueError):
        return False
    healths = {rule["health"] for group in rules for rule in group["rules"]}
    return bool(result) and result[0]["value"][1] == "3" and healths == {"ok"}


def failing(url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, set[str]]:
    capsys.readouterr()
    code = execute(["observability", "check", "--prometheus", url, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in rows} == {"target", "rule", "metric"}
    return code, {row["name"] for row in rows if row["state"] == "fails"}


def test_check_passes_where_all_is_served_and_names_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out: set[str] = set()
    with exposing(left_out) as target, prometheus(tmp_path, target) as url:
        eventually(lambda: scraped(url), 60, every=0.1, what="Prometheus has scraped and evaluated")
        assert failing(url, capsys) == (0, set())
        assert execute(["observability", "check", "--prometheus", url]) == 0
        assert "0 fail" in capsys.readouterr().out
        lost = {"callboard_queue_depth", "callboard_attempts_total"}
        left_out |= lost
        eventually(lambda: failing(url, capsys) == (1, lost), 20, every=0.1, what="the next scrape")
        monkeypatch.setenv("COLUMNS", "300")
        execute(["observability", "check", "--prometheus", url])
        assert "CallboardQueueStalled" in capsys.readouterr().out
