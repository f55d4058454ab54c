"""One look at the board: what the exporter would say now, and what only a screen shows."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import ArgumentError

from callboard.compose import get_broker
from callboard.ledger import totals, workers
from callboard.ledger.database import get_engine, transaction
from callboard.state import snapshot
from observability.snapshot import BROKER, POSTGRES, Snapshot
from observability.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: As many running runs as anybody reads; how many there are is counted.
_MOST_RUNS = 200

_SILENT = "it did not answer in time"
_BOUND = text("select set_config('statement_timeout', '3s', true)")
_RUNNING = text("""
select id, job, queue, attempt, extract(epoch from now() - started_at)::float8 as seconds, progress, counts,
       cancel_requested_at, count(*) over () as all_of_them
from board.runs where state = 'running' order by started_at limit :most
""")
# The scheduler's sessions, and whether one of them holds the leader's lock.
_SCHEDULERS = text("""
select count(distinct a.pid) as sessions, count(l.pid) as locks
from pg_stat_activity a left join pg_locks l on l.pid = a.pid and l.locktype = 'advisory' and l.granted
where a.application_name = 'callboard-scheduler' and a.datname = current_database()
""")
_CRITICAL = text("""
select count(*) from board.issues
where status = 'open' and severity = 'critical' and (silenced_until is null or silenced_until <= now())
""")


class Ended(NamedTuple):
    """Attempts of one job that have ended since its first run, and their run time in seconds."""

    queue: str
    attempts: int = 0
    failed: int = 0
    retried: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Ledger:
    """What only the ledger knows."""

    ended: Mapping[str, Ended] = field(default_factory=dict)
    running: Sequence[Mapping[Any, Any]] = ()
    workers: Sequence[Mapping[Any, Any]] = ()
    #: `leading`, `standby` or `away`.
    scheduler: str = "away"
    #: Critical issues that are open and not silenced.
    critical: int = 0


@dataclass(frozen=True)
class Look:
    """Everything at one moment; `at` is `time.monotonic()` then, `down` says of each source that fails why."""

    moment: datetime
    at: float
    snapshot: Snapshot
    ledger: Ledger | None
    down: Mapping[str, str] = field(default_factory=dict)


def look(explain: Callable[[Exception], str]) -> Look:
    """Ask both servers, neither for longer than the exporter would; never raises: what fails is told as down.

    Args:
        explain: How whoever looks is told of what fails.
    """
    moment, at = datetime.now(UTC), time.monotonic()
    with suppress(LookupError, ArgumentError):  # told by those who ask
        get_engine()  # made here, for of two threads that need it first each would make one
    detail, told = _detail.begin(), snapshot()
    ledger = detail().facts
    down: dict[str, str] = {}
    if not _is_up(told, BROKER):
        down[BROKER] = _said(_broker_reason.begin()().facts, explain)
    if not isinstance(ledger, Ledger) or not _is_up(told, POSTGRES):
        down[POSTGRES] = _said(None if isinstance(ledger, Ledger) else ledger, explain)
    return Look(moment, at, told, ledger if isinstance(ledger, Ledger) else None, down)


def _is_up(told: Snapshot, source: str) -> bool:
    state = told.sources.get(source)
    return state is not None and state.up


def _said(found: Exception | str | None, explain: Callable[[Exception], str]) -> str:
    return explain(found) if isinstance(found, Exception) else found or _SILENT


def _read() -> Ledger | Exception:
    """What only the ledger knows, or why it cannot be read."""
    try:
        with transaction() as connection:
            connection.execute(_BOUND)
            sessions = connection.execute(_SCHEDULERS).one()
            return Ledger(
                ended=_ended(totals.by_outcome(connection)),
                running=connection.execute(_RUNNING, {"most": _MOST_RUNS}).mappings().all(),
                workers=workers.listing(connection),
                scheduler="away" if not sessions.sessions else "leading" if sessions.locks else "standby",
                critical=connection.execute(_CRITICAL).scalar_one(),
            )
    except Exception as error:  # noqa: BLE001 - said on the screen
        return error


def _ended(rows: Sequence[Mapping[Any, Any]]) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    for row in rows:
        attempts, before = int(row["attempts"]), found.get(row["job"], Ended(row["queue"]))
        found[row["job"]] = before._replace(
            attempts=before.attempts + attempts,
            failed=before.failed + (attempts if row["outcome"] == "failed" else 0),
            retried=before.retried + (attempts if row["outcome"] == "retry" else 0),
            seconds=before.seconds + float(row["seconds"]),
        )
    return found


def _why_broker_is_away() -> Exception | str:
    broker = get_broker()
    try:
        broker.paused()  # type: ignore[attr-defined] # every broker of ours has it, and no other is told as down
    except Exception as error:  # noqa: BLE001 - that is the question
        return error
    return "it did a moment later"


_detail = Source("ledger", _read)
_broker_reason = Source("broker", _why_broker_is_away)
