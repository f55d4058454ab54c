"""Runs for the recorder's tests: as messages would tell them, but without a broker."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from callboard.failures import Kind
from callboard.ledger import workers
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.facts import Ending, Refused, Report, RunFacts, Started
from callboard.ledger.recorder import Recorder
from callboard.outcome import Completed, Failure, Outcome
from tests.board import Board


def recorder(board: Board, *, lease: float = 60.0) -> Recorder:
    """A recorder of a worker of its own; one with a negative lease is dead."""
    worker_id = uuid4()
    row = {"host": "h", "pid": 1, "version": "0", "broker_id": "b", "queues": ["default"], "threads": 1}
    with transaction() as connection:
        workers.register(connection, lease=lease, id=worker_id, **row)
    return Recorder(get_engine(), worker_id, board.settings)


def facts(job: str = "light", **given: Any) -> RunFacts:  # noqa: ANN401 - the fields of RunFacts
    run_id = uuid4()
    told = {"trigger": "send", "correlation_id": "c", "queue": "default", "delivery": f"{run_id}.0", "payload": b"body"}
    return RunFacts(id=run_id, created_at=datetime.now(UTC), job=job, **(told | given))


def light(own: Recorder) -> Started:
    """The start of a run that is not written before it runs."""
    return Started(1, own.tokens(), recorded=False)


def ending(
    run: RunFacts, started: Started | Refused, outcome: Outcome | None = None, report: Report | None = None
) -> Ending:
    """The end, half a second ago, of an attempt that took two seconds."""
    assert isinstance(started, Started)
    retry = f"{run.id}.{started.attempt}"
    return Ending(run, started, outcome or Completed(), report or Report(), retry, 2.0, time.monotonic() - 0.5)


def failure(name: str = "ValueError", fingerprint: str = "f") -> Failure:
    return Failure(name, "no \x00 \ud800", Kind.RUNTIME, False, "non_recoverable", fingerprint, "trace \udfff")
