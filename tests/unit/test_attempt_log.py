"""What is kept of an attempt's lines: the last ones, redacted, within bounds."""

from __future__ import annotations

import contextvars
import io
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from callboard._attempt_log import LONGEST_LOG, AttemptLog
from callboard.run import Run, enter_run
from callboard.settings import get_settings
from observability import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The current run, in a process whose logs are set up."""
    monkeypatch.setenv("CALLBOARD_LOG_LINES_PER_ATTEMPT", "5")
    get_settings.cache_clear()
    logs.configure(format="json", level="info", service="worker", stream=io.StringIO())
    run = Run(job="sync", token=1)
    enter_run(run)
    yield run
    enter_run(None)
    get_settings.cache_clear()


def kept(run: Run) -> list[dict[str, Any]]:
    return run.log_lines or []


def test_lines_of_structlog_and_of_libraries_are_kept_in_order(run: Run) -> None:
    structlog.get_logger("sync.pages").info("sync.page_read", page=3, password="hunter2")
    logging.getLogger("lib").warning("slow answer from postgres://u:hunter2@h, %d s", 7)
    run.log.error("sync.stuck", account="7")
    first, second, third = kept(run)
    assert first.pop("at") <= second.pop("at") <= third.pop("at")
    assert first == {
        "level": "info",
        "event": "sync.page_read",
        "logger": "sync.pages",
        "page": 3,
        "password": "[redacted]",
    }
    assert second["event"] == "slow answer from postgres://u:[redacted]@h, 7 s"
    assert third == {"level": "error", "event": "sync.stuck", "logger": "sync", "account": "7"}


def test_an_exception_that_was_logged_says_what_and_where(run: Run) -> None:
    try:
        int("token=abcdef123456")
    except ValueError:
        logging.getLogger("lib").exception("it failed")
    (line,) = kept(run)
    assert (line["error_type"], line["event"]) == ("ValueError", "it failed")
    assert "token=[redacted]" in line["error"]
    assert "Traceback" in line["stack"]
    assert "abcdef123456" not in line["stack"]


def test_fields_with_our_names_do_not_replace_ours(run: Run) -> None:
    structlog.get_logger("sync").info("sync.odd", level="high", at="noon", logger="mine")
    (line,) = kept(run)
    assert (line["level"], line["level_"], line["at_"], line["logger_"]) == ("info", "high", "noon", "mine")


def test_only_the_last_lines_stay_and_none_below_the_level(run: Run) -> None:
    log = logging.getLogger("lib")
    for number in range(9):
        log.info("line %d", number)
        log.debug("not this one")
    assert [line["event"] for line in kept(run)] == [f"line {number}" for number in range(4, 9)]


def test_what_the_engine_says_of_the_run_is_not_its_own(run: Run) -> None:
    structlog.get_logger("callboard.run").info("job.started", job="sync")
    structlog.get_logger("callboard.run").info("job.finished", job="sync")
    assert run.log_lines is None


def test_nothing_is_kept_outside_a_run_or_in_a_detached_one(run: Run) -> None:
    enter_run(None)
    logging.getLogger("lib").warning("nobody's")
    enter_run(detached := Run(job="detached"))
    logging.getLogger("lib").warning("nobody's either")
    assert (run.log_lines, detached.log_lines) == (None, None)


def test_threads_with_the_runs_context_count_and_others_do_not(run: Run) -> None:
    log, context = logging.getLogger("lib"), contextvars.copy_context()
    for target in (lambda: context.run(log.info, "ours"), lambda: log.info("a stranger's")):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert [line["event"] for line in kept(run)] == ["ours"]


def test_none_are_kept_if_the_settings_say_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_LOG_LINES_PER_ATTEMPT", "0")
    get_settings.cache_clear()
    logging.getLogger("lib").warning("a line")
    assert run.log_lines is None


def test_a_listener_that_fails_costs_no_line(run: Run) -> None:
    from observability._handler import listeners

    def fail(_line: logs.Line) -> None:
        raise RuntimeError("no")

    stream = io.StringIO()
    logs.configure(format="json", level="info", service="worker", stream=stream)
    logs.add_listener(fail)
    try:
        logging.getLogger("lib").warning("a line")
    finally:
        listeners.remove(fail)
    assert "a line" in stream.getvalue()
    assert [line["event"] for line in kept(run)] == ["a line"]


LINES = st.lists(
    st.integers(0, 20_000).map(lambda size: {"event": "e" * min(size, 9), "text": "x" * size}), max_size=40
)


@given(LINES, st.integers(0, 10))
def test_the_log_never_outgrows_its_bounds(lines: list[dict[str, Any]], most: int) -> None:
    log = AttemptLog(most)
    for line in lines:
        log.add(line)
    assert len(log.lines) <= most
    assert sum(len(repr(line)) for line in log.lines) <= LONGEST_LOG
    if lines and most:
        assert log.lines[-1]["event"] == lines[-1]["event"]  # the last one always stays, if only its name


def test_a_line_that_is_too_long_says_what_was_left_out() -> None:
    log = AttemptLog(5)
    log.add({"event": "sync.page", "level": "error", "error_type": "ValueError", "stack": "x" * 20_000})
    (line,) = log.lines
    assert line.keys() == {"event", "level", "error_type", "left_out"}
    assert line["left_out"].startswith("200")
