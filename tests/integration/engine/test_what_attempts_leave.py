"""What an attempt leaves: its lines, its trace, its time and whose it was, with the run and with each failure."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from callboard import Delays, current_run, job
from callboard.ledger.facts import Report
from callboard.outcome import Completed, Failed, Interrupted, Retry
from observability import logs
from tests.board import Board
from tests.integration.engine.recorder_kit import ending, facts, failure, light, recorder
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    logs.configure(format="json", level="info", service="worker", stream=io.StringIO())
    yield
    structlog.reset_defaults()


def test_each_failure_keeps_its_own_lines_and_the_run_those_of_the_last(board: Board) -> None:
    @job("sync", scope="project", retry=Delays(0.05, jitter=0))
    def sync(project_id: str) -> None:
        run = current_run()
        assert project_id == "p1"
        structlog.get_logger("sync").info("sync.tried", attempt_was=run.attempt, api_key="abcdef123456")
        if run.attempt == 1:
            raise ConnectionError("connection reset")

    with board.worker():
        sync.send("p1")
        eventually(lambda: board.query("select state from board.runs") == [("completed",)])
    (row,) = board.query("select * from board.failures")
    (run,) = board.query("select * from board.runs")
    assert [line["attempt_was"] for line in row.log] == [1]
    assert [line["attempt_was"] for line in run.log] == [2]
    assert (row.project_id, run.project_id, row.attempt) == ("p1", "p1", 1)
    assert 0 <= row.duration_seconds < 10
    assert "abcdef123456" not in str(
        board.query("select log::text from board.runs union select log::text from board.failures")
    )


def test_a_run_that_logs_nothing_has_no_log(board: Board) -> None:
    @job("quiet")
    def quiet() -> None:
        logging.getLogger("lib").debug("below the level")

    with board.worker():
        quiet.send()
        eventually(lambda: board.query("select state from board.runs") == [("completed",)])
    assert board.query("select log, trace_id from board.runs") == [(None, None)]


def test_a_light_run_keeps_its_lines_and_its_trace(board: Board) -> None:
    own = recorder(board)
    run, report = facts(), Report(log=[{"event": "a"}, {"event": "nul \x00"}])
    end = ending(run, light(own), report=report)
    end.trace = TRACE
    assert own.finish_many([end]) == [True]
    assert board.query("select trace_id, log from board.runs") == [(TRACE[0], [{"event": "a"}, {"event": "nul "}])]


def test_the_last_attempt_that_ended_counts(board: Board) -> None:
    own, run = recorder(board), facts(project_id="p1")
    first = ending(run, own.start(run), Retry(failure(), 0), Report(log=[{"event": "first"}]))
    first.trace = TRACE
    own.finish_many([first])
    given_back = ending(run, own.start(run), Interrupted(), Report(log=[{"event": "cut off"}]))
    own.finish_many([given_back])
    assert board.query("select trace_id, log from board.runs") == [(TRACE[0], [{"event": "first"}])]
    own.finish_many([ending(run, own.start(run), Failed(failure(), "spent"))])
    assert board.query("select state, trace_id, log from board.runs") == [("failed", None, None)]
    rows = board.query("select trace_id, log, duration_seconds, project_id from board.failures order by id")
    assert [tuple(row) for row in rows] == [(TRACE[0], [{"event": "first"}], 2.0, "p1"), (None, None, 2.0, "p1")]
    assert board.query("select project_id from board.dead_letters") == [("p1",)]


def test_a_log_that_postgres_refuses_does_not_keep_the_run_from_ending(board: Board) -> None:
    own, run = recorder(board), facts()
    odd = Report(counts={"rows": 1}, log=[{"event": "half \ud800"}], tokens=[{"category": "x", "calls": "many"}])
    assert own.finish_many([ending(run, light(own), Completed(), odd)]) == [True]
    assert board.query("select state from board.runs") == [("completed",)]
    assert board.query("select * from board.token_usages") == []
