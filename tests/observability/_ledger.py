"""Runs, failures, dead letters and issues of the last hour of that night, in a real ledger."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.observability._world import END, EVERY_JOB, JOBS, Job

if TYPE_CHECKING:
    import psycopg

LAST = datetime.fromtimestamp(END, UTC)
#: A run that failed for good, with all its attempts on record.
FAILED_RUN = uuid.UUID(int=42)
_TRACE = (
    'Traceback (most recent call last):\n  File "actors/webhooks.py", line 41, in deliver\nConnectionError: refused'
)
_ERROR = ("ConnectionError", "https://hooks.example.org/in: connection refused")


def fill(connection: psycopg.Connection[Any], runs: int = 300) -> None:
    """Fill an empty ledger; the same rows each time."""
    dice = random.Random(7)
    for number in range(runs):
        job = dice.choice(JOBS if number % 4 else EVERY_JOB)
        _run(connection, dice, job, uuid.UUID(int=dice.getrandbits(128), version=4), number)
    _run(connection, dice, EVERY_JOB[0], FAILED_RUN, -1)
    for attempt in range(1, 5):
        _failure(connection, attempt)
    for number in range(12):
        _dead(connection, number)
    _issue(connection)


def _run(connection: psycopg.Connection[Any], dice: random.Random, job: Job, run: uuid.UUID, number: int) -> None:
    born = LAST - timedelta(seconds=dice.uniform(1, 3500))
    state = (
        "failed" if run == FAILED_RUN else dice.choices(("completed", "failed", "running", "pending"), (80, 8, 6, 6))[0]
    )
    wait, ran = dice.expovariate(1 / 40), job.seconds * dice.lognormvariate(0, 0.6)
    started = None if state == "pending" else born + timedelta(seconds=wait)
    ended = started + timedelta(seconds=ran) if started and state in ("completed", "failed") else None
    error = _ERROR if state == "failed" else (None, None)
    values = (
        run,
        born,
        job.name,
        job.queue,
        state,
        "send" if number % 3 else "schedule",
        f"job-{run}",
        4 if error[0] else 1,
    )
    connection.execute(
        "insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, attempt, eligible_at,"
        " started_at, finished_at, error_type, error, error_kind) values (" + ", ".join(["%s"] * 14) + ")",
        (*values, born, started, ended, *error, "transient" if error[0] else None),
    )


def _failure(connection: psycopg.Connection[Any], attempt: int) -> None:
    connection.execute(
        "insert into board.failures (run_id, job, queue, attempt, kind, retryable, label, error_type, error, traceback,"
        " correlation_id, occurred_at) values (%s, %s, %s, %s, 'transient', %s, 'refused', %s, %s, %s, 'job-42', %s)",
        (FAILED_RUN, *_named(), attempt, attempt < 4, *_ERROR, _TRACE, LAST - timedelta(minutes=50 - 9 * attempt)),
    )


def _dead(connection: psycopg.Connection[Any], number: int) -> None:
    connection.execute(
        "insert into board.dead_letters (run_id, job, queue, payload, kind, reason, error_type, error, attempts,"
        " correlation_id, created_at) values (%s, %s, %s, '', 'transient', 'gave up', %s, %s, 4, 'job-42', %s)",
        (uuid.UUID(int=42 + number), *_named(), *_ERROR, LAST - timedelta(minutes=60 - 5 * number)),
    )


def _issue(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "insert into board.issues (fingerprint, job, error_type, title, kind, occurrences, first_seen_at, last_seen_at,"
        " last_run_id) values ('f', %s, %s, 'hooks.example.org refuses connections', 'transient', 4311, %s, %s, %s)",
        (_named()[0], _ERROR[0], LAST - timedelta(minutes=95), LAST - timedelta(minutes=1), FAILED_RUN),
    )


def _named() -> tuple[str, str]:
    return EVERY_JOB[0].name, EVERY_JOB[0].queue
