"""Progress of a running attempt: seen while it runs, and written no more than once a second."""

from __future__ import annotations

import time
from uuid import uuid4

from callboard.heart import Heart
from callboard.job import job
from callboard.ledger.facts import Started
from callboard.middleware._execution import Execution
from callboard.run import Run
from tests.board import Board
from tests.integration.engine.recorder_kit import facts, recorder
from tests.support import eventually


def test_progress_is_written_at_once_and_then_once_a_second(board: Board) -> None:
    @job("long")
    def long() -> None: ...

    told = facts("long")
    started = recorder(board).start(told)
    assert isinstance(started, Started)
    run = Run.begin(told, started)
    heart = Heart(None, uuid4(), board.settings, threads=1, host="h")
    heart.watch(Execution(long.spec, told, started, run))
    steps = 0

    def beat() -> int:
        nonlocal steps
        steps += 1
        run.progress(steps, 0, "password=hunter2")
        heart.tick()
        return int(board.one("select (progress->>'processed')::int from board.runs"))

    board.execute("create table board.writes (at timestamptz default clock_timestamp())")
    board.execute("""
        create function board.note() returns trigger language plpgsql as
        'begin insert into board.writes default values; return new; end'
    """)
    board.execute(
        "create trigger writes after update of progress on board.runs for each row execute function board.note()"
    )
    began = time.monotonic()
    assert beat() == 1
    assert eventually(lambda: beat() > 1, 5)
    assert board.one("select count(*) from board.writes") == 2
    assert time.monotonic() - began >= 1.0
    assert steps > 2
    seconds = "select extract(epoch from max(at) - min(at))::float8 from board.writes"
    assert board.one(seconds) >= 0.95
    assert board.one("select progress->>'message' from board.runs") == "password=[redacted]"
    heart.stop()
