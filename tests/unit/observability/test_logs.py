from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable, ItemsView
    from pathlib import Path

    Configured = Callable[..., io.StringIO]

log = structlog.get_logger("actors.sessions.collect")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(io.StringIO):
    """Refuses what is written while `full`."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_of_ours_in_json(configured: Configured) -> None:
    stream = configured("json")
    log.info("sessions.file_torn", path="/a", line=8)
    (line,) = json_lines(stream)
    assert line["event"] == "sessions.file_torn"
    assert (line["path"], line["line"], line["service"], line["level"]) == ("/a", 8, "test", "info")
    assert line["logger"] == "actors.sessions.collect"


@pytest.mark.parametrize("name", ["dramatiq.worker", "periodiq", "sqlalchemy.engine", "alembic.runtime.migration"])
def test_a_library_writes_the_same_lines(configured: Configured, name: str) -> None:
    stream = configured("json")
    with bound_contextvars(correlation_id="job-1"):
        logging.getLogger(name).warning("upgrade %s to %s", "a", "b")
    (line,) = json_lines(stream)
    assert (line["event"], line["msg"], line["logger"]) == ("log.message", "upgrade a to b", name)
    assert line["correlation_id"] == "job-1"


def test_the_context_is_on_each_json_line_and_the_call_wins_over_it(configured: Configured) -> None:
    stream = configured("json")
    with bound_contextvars(correlation_id="job-1", run_id="r", queue="a"):
        log.info("a.b")
        log.info("a.c", queue="b")
    log.info("a.d")
    first, second, third = json_lines(stream)
    assert (first["correlation_id"], first["run_id"], first["queue"]) == ("job-1", "r", "a")
    assert second["queue"] == "b"
    assert "correlation_id" not in third


def test_the_context_of_one_thread_is_not_on_the_lines_of_another(configured: Configured) -> None:
    stream = configured("json")
    with bound_contextvars(correlation_id="job-1"):
        thread = threading.Thread(target=log.info, args=("a.b",), name="other")
        thread.start()
        thread.join()
    (line,) = json_lines(stream)
    assert "correlation_id" not in line
    assert line["thread"] == "other"


def test_text_shows_the_correlation_id_only_when_asked(configured: Configured) -> None:
    fields = {"job": "webhook.deliver", "id": "wd_8822", "attempt": 3, "status": "dead_letter"}
    for shown, tail in ((False, "status=dead_letter"), (True, "status=dead_letter correlation_id=job-1")):
        stream = configured("text", show_correlation=shown)
        with bound_contextvars(correlation_id="job-1"):
            log.error("job.finished", trigger="cli", **fields)
            log.info("a.b")
        run, other = stream.getvalue().splitlines()
        assert run == f"[task] webhook.deliver id=wd_8822 attempt=3 {tail}"
        assert other.endswith("correlation_id=job-1") == shown


def test_the_start_of_a_task_is_in_json_only(configured: Configured) -> None:
    stream = configured("text")
    log.info("job.started", job="a", trigger="cli", id="1", attempt=1)
    assert stream.getvalue() == ""
    stream = configured("json")
    log.info("job.started", job="a", trigger="cli", id="1", attempt=1)
    assert json_lines(stream)[0]["event"] == "job.started"


def test_a_bound_logger_carries_its_fields(configured: Configured) -> None:
    stream = configured("json")
    log.bind(job="a").info("a.b", n=1)
    assert json_lines(stream)[0]["job"] == "a"


def test_an_exception_has_its_stack(configured: Configured) -> None:
    stream = configured("json")
    try:
        os.environ["NO SUCH VARIABLE"]
    except KeyError:
        log.exception("a.b")
        logging.getLogger("library").exception("oops")
    ours, theirs = json_lines(stream)
    assert ours["error_type"] == theirs["error_type"] == "KeyError"
    assert "Traceback" in ours["stack"]
    assert ours["level"] == "error"


def test_a_given_exception_is_taken_as_it_is(configured: Configured) -> None:
    stream = configured("json")
    log.warning("a.b", exc_info=ValueError("no"))
    assert json_lines(stream)[0]["error"] == "no"


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("WARNING", 1), ("error", 0)])
def test_lines_below_the_level_are_left_out(configured: Configured, level: str, count: int) -> None:
    stream = configured("json", level=level)
    log.debug("a.b")
    log.info("a.b")
    logging.getLogger("library").warning("hello")
    assert len(json_lines(stream)) == count


def test_the_level_of_one_logger_can_be_set_apart(configured: Configured) -> None:
    stream = configured("json", level="debug")
    logger = logging.getLogger("apart")
    logger.setLevel(logging.ERROR)
    structlog.get_logger("apart").warning("a.b")
    logger.setLevel(logging.NOTSET)
    assert stream.getvalue() == ""


def test_requests_of_http_libraries_are_quiet_unless_debugging(configured: Configured) -> None:
    for level, count in (("info", 0), ("debug", 1)):
        stream = configured("json", level=level)
        logging.getLogger("httpx").info("HTTP Request: GET http://h/")
        assert len(json_lines(stream)) == count


def test_what_dramatiq_repeats_with_its_arguments_is_for_debugging(configured: Configured) -> None:
    worker = logging.getLogger("dramatiq.worker.WorkerThread")
    for level, levels in (("info", ["warning"]), ("debug", ["debug", "debug", "warning"])):
        stream = configured("json", level=level)
        worker.error("Failed to process message %s with unhandled exception.", "deliver('x')")
        worker.warning("Message %s was skipped.", "deliver('x')")
        worker.warning("something else")
        assert [line["level"] for line in json_lines(stream)] == levels


def test_configuring_again_replaces(configured: Configured) -> None:
    first = configured("json")
    second = configured("text")
    log.info("a.b")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_handlers_of_basic_config_go_and_others_stay(configured: Configured, tmp_path: Path) -> None:
    root = logging.getLogger()
    basic = logging.StreamHandler(io.StringIO())
    other = logging.FileHandler(tmp_path / "log")
    root.handlers += [basic, other]
    configured("json")
    assert basic not in root.handlers
    assert other in root.handlers
    root.removeHandler(other)
    other.close()


def test_auto_is_text_on_a_terminal_and_json_elsewhere() -> None:
    assert logs.resolve_format("auto", Terminal()) == "text"
    assert logs.resolve_format("auto", io.StringIO()) == "json"
    assert logs.resolve_format("json", Terminal()) == "json"


def test_without_a_stream_it_is_standard_error_of_the_moment(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("text", stream=None)
    log.info("a.b")
    captured = capsys.readouterr()
    assert captured.err.endswith("a.b\n")
    assert captured.out == ""


def test_without_any_standard_error_lines_are_counted_as_lost(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert logs.resolve_format("auto") == "json"
    configured("auto", stream=None)
    log.info("a.b")
    assert logs.lost_lines() == 1


def test_colour_is_for_terminals_that_want_it(configured: Configured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in written(configured, Terminal())
    assert "\x1b[" not in written(configured, io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in written(configured, Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in written(configured, Terminal())


def written(configured: Configured, stream: io.StringIO) -> str:
    configured("text", stream=stream)
    log.warning("a.b")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "log format 'xml' is unknown: use one of auto, json, text"),
        ({"level": "loud"}, "log level 'loud' is unknown: use one of debug, info, warning, error, critical"),
    ],
)
@pytest.mark.usefixtures("clean_logging")
def test_a_wrong_option_names_its_mend(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logs.configure(**{"format": "json", "level": "info", "service": "test"} | options)


def test_a_stream_that_refuses_loses_lines_and_tells_of_it_later(configured: Configured) -> None:
    stream = FullDisk()
    configured("json", stream=stream)
    log.info("a.b")
    log.info("a.b")
    assert logs.lost_lines() == 2
    stream.full = False
    log.info("a.c")
    assert [(line["event"], line.get("count")) for line in json_lines(stream)] == [("log.lines_lost", 2), ("a.c", None)]
    assert logs.lost_lines() == 0


def test_a_closed_stream_fails_nobody(configured: Configured) -> None:
    stream = configured("json")
    stream.close()
    log.info("a.b")
    assert logs.lost_lines() == 1


def test_a_stream_without_the_characters_spells_them(configured: Configured) -> None:
    raw = io.BytesIO()
    configured("text", stream=io.TextIOWrapper(raw, encoding="ascii"))
    log.info("a.b", name="Zürich")
    assert raw.getvalue().endswith(b"a.b name=Z\\xfcrich\n")


def test_what_cannot_be_rendered_is_told_of(configured: Configured) -> None:
    class NoDict(dict[str, Any]):
        def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # it never returns
            raise RuntimeError("no")

    stream = configured("json")
    logging.getLogger("library").info(cast("str", NoDict(event=BadName(), x=1)))
    (line,) = json_lines(stream)
    assert (line["event"], line["source"], line["reason"]) == ("log.unreadable", "library", "RuntimeError")


class BadName:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_structlogs_own_test_helper_works_beside_it(configured: Configured) -> None:
    configured("json")
    with structlog.testing.capture_logs() as captured:
        log.info("a.b", n=1)
    assert captured == [{"event": "a.b", "n": 1, "log_level": "info"}]
