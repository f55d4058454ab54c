from __future__ import annotations

from pathlib import Path

import pytest

from observability import _scan, docs
from observability.catalogue import CATALOGUE
from observability.events import EVENTS

SOURCE = """
def collect(log, run):
    log.info("sessions.collected", files=3, exc_info=True)
    run.log.warning("sessions.collected", bytes=4, **more)
    log.exception("sessions.broken")
    log.info("Some prose", path=1)
    log.info(f"sessions.{name}")
    log.info()
    other("sessions.no_log")
"""


def test_the_pages_in_the_repository_are_up_to_date() -> None:
    stale = [path.name for path in docs.outdated()]
    assert stale == [], f"run `python -m observability.docs` and commit {stale}"


def test_every_metric_and_event_is_on_its_page() -> None:
    metrics, events = docs.metrics_page(), docs.events_page()
    for metric in CATALOGUE:
        (row,) = [line for line in metrics.splitlines() if line.startswith(f"| `{metric.name}` | {metric.kind} |")]
        heading = metrics.rindex("## Served by the", 0, metrics.index(row))
        assert metrics[heading:].startswith(f"## Served by the {metric.process}\n")
    assert all(f"| `{event.name}` |" in events for event in EVENTS)
    assert all(f"| `{found.name}` |" in events for found in _scan.find_events(docs.ROOT))


def test_events_are_found_in_the_source(tmp_path: Path) -> None:
    package = tmp_path / "actors" / "sessions"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SOURCE)
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "mail.py").write_text('log.info("mail.sent")')
    assert _scan.find_events(tmp_path) == [
        _scan.Found("sessions.broken", ("error",), ("actors.sessions",), ()),
        _scan.Found("sessions.collected", ("info", "warning"), ("actors.sessions",), ("files", "bytes")),
    ]


def test_the_command_writes_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        "docs/reference/metrics.md is out of date: run `python -m observability.docs`",
        "docs/reference/events.md is out of date: run `python -m observability.docs`",
        "docs/reference/alerts.md is out of date: run `python -m observability.docs`",
    ]
    assert docs.main([], tmp_path) == 0
    assert docs.main(["--check"], tmp_path) == 0
    page = tmp_path / "docs" / "reference" / "metrics.md"
    page.write_text(page.read_text() + "an edit by hand\n")
    assert docs.outdated(tmp_path) == [page]


def test_a_bar_in_a_table_is_escaped() -> None:
    assert docs._table(["a"], [["x|y"]]).endswith(r"| x\|y |")
