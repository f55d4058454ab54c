"""The state of the board at one moment, for the exporter: each source read on its own, so that one may be down."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from callboard.broker import Transport
from callboard.compose import get_broker
from callboard.ledger import schedules, totals, workers
from callboard.ledger.database import get_engine
from callboard.spec import spec_of
from observability.exporter import read_source
from observability.snapshot import (
    BROKER,
    POSTGRES,
    JobFacts,
    OccurrenceFacts,
    QueueFacts,
    RunDurations,
    ScheduleFacts,
    Snapshot,
    WorkersFacts,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from callboard.broker import Depth
    from callboard.cadence import Cadence
    from callboard.spec import JobSpec

_QUEUES = text("select * from board.queue_health")
_DEAD = text("select job, count(*) as dead from board.dead_letters group by job")
_OLDEST = text("""
select job, extract(epoch from now() - min(started_at)) as seconds from board.runs where state = 'running' group by job
""")
# The metric's word for what the ledger calls paused.
_REASONS = {"paused": "disabled"}
_NO_ROWS: Mapping[str, Any] = {}


class _Held(NamedTuple):
    """What the broker says: how much is where, and which queues are paused; None is not known."""

    depths: Mapping[str, Depth]
    paused: Collection[str] | None


_NOTHING_HELD = _Held({}, None)


def snapshot() -> Snapshot:
    """Everything the exporter shows; never raises: a source that fails is told as down."""
    broker = get_broker()
    specs = {name: spec_of(actor) for name, actor in sorted(broker.actors.items())}
    queues = sorted(broker.get_declared_queues())
    held, broker_state = read_source(BROKER, lambda: _held(queues), _NOTHING_HELD)
    ledger, ledger_state = read_source(POSTGRES, _ledger, None)
    sources = {BROKER: broker_state, POSTGRES: ledger_state}
    if ledger is None:
        return Snapshot(queues=tuple(_queue(name, held, _NO_ROWS) for name in queues), sources=sources)
    return Snapshot(
        queues=tuple(_queue(name, held, ledger.queue(name)) for name in queues),
        schedules=tuple(_schedule(row, specs) for row in ledger.schedules),
        jobs=tuple(ledger.job(spec) for spec in specs.values()),
        workers=WorkersFacts(**ledger.workers),
        missed=tuple(
            OccurrenceFacts(row["job"], _REASONS.get(reason, reason), ticks)
            for row in ledger.schedules
            for reason, ticks in row["missed"].items()
        ),
        sources=sources,
    )


def _held(queues: Sequence[str]) -> _Held:
    broker = get_broker()
    if not isinstance(broker, Transport):
        return _NOTHING_HELD
    return _Held(broker.depths(queues), broker.paused())


def _queue(name: str, held: _Held, row: Mapping[str, Any]) -> QueueFacts:
    depth = held.depths.get(name)
    return QueueFacts(
        queue=name,
        ready=None if depth is None else depth.ready,
        claimed=None if depth is None else depth.claimed - depth.orphaned,
        delayed=None if depth is None else depth.delayed,
        orphaned=None if depth is None else depth.orphaned,
        oldest_ready_age_seconds=None if depth is None else depth.oldest_ready_seconds,
        paused=None if held.paused is None else name in held.paused,
        dead=row.get("dead"),
        consumers=row.get("consumers"),
    )


def _schedule(row: RowMapping, specs: Mapping[str, JobSpec]) -> ScheduleFacts:
    spec = specs.get(row["job"])
    cadence = None if spec is None else spec.cadence
    return ScheduleFacts(
        schedule=row["job"],
        job=row["job"],
        queue=row["queue"],
        cadence=row["cadence"],
        interval_seconds=row["interval_seconds"],
        enabled=row["paused_at"] is None,
        created_at=row["created_at"],
        last_success_at=row["last_success_at"],
        last_start_at=row["last_start_at"],
        last_completion_at=row["last_completion_at"],
        next_run_at=None if cadence is None else cadence.after(datetime.now(UTC)),
        last_duration_seconds=row["last_duration_seconds"],
        consecutive_failures=row["consecutive_failures"],
        max_age_seconds=_max_age(row, cadence),
        owner="" if spec is None else spec.owner,
    )


def _ledger() -> _Ledger | None:
    with get_engine().begin() as connection:
        return _Ledger(connection)


def _max_age(row: RowMapping, cadence: Cadence | None) -> float | None:
    """Seconds that the last success may be old: until two ticks after it, and what a run takes, have passed.

    Not twice an interval: a cadence of office hours has a long gap every night.
    """
    if cadence is None:
        return None
    since = row["last_success_at"] or row["created_at"]
    second = cadence.after(cadence.after(since))
    return float((second - since).total_seconds() + (row["last_duration_seconds"] or 0.0))


class _Ledger:
    """What the ledger says, read in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.schedules = schedules.listing(connection)
        self._queues = {str(row["queue"]): dict(row) for row in connection.execute(_QUEUES).mappings()}
        self._dead = {row.job: row.dead for row in connection.execute(_DEAD)}
        self._oldest = {row.job: float(row.seconds) for row in connection.execute(_OLDEST)}
        self._attempts: dict[str, dict[str, int]] = defaultdict(dict)
        self._seconds: dict[str, float] = defaultdict(float)
        for row in totals.by_outcome(connection):
            self._attempts[row["job"]][row["outcome"]] = int(row["attempts"])
            self._seconds[row["job"]] += row["seconds"]
        self._slots: dict[str, list[int]] = defaultdict(list)
        for row in totals.durations(connection):
            self._slots[row["job"]].append(int(row["count"]))
        self.workers = _workers(workers.listing(connection, everything=True))

    def queue(self, name: str) -> Mapping[Any, Any]:
        return self._queues.get(name, {"dead": 0, "consumers": 0})

    def job(self, spec: JobSpec) -> JobFacts:
        attempts = self._attempts.get(spec.name, {})
        ended = {name: attempts.get(name, 0) for name in ("success", "failed", "cancelled")}
        return JobFacts(
            job=spec.name,
            queue=spec.queue,
            runs=ended,
            attempts=attempts,
            dead_letters=self._dead.get(spec.name, 0),
            durations=self._durations(spec.name),
            oldest_running_age_seconds=self._oldest.get(spec.name, 0.0),
            time_limit_seconds=spec.time_limit,
        )

    def _durations(self, job: str) -> RunDurations:
        slots = self._slots.get(job)
        if not slots:
            return RunDurations()
        grown = tuple(accumulate(slots))
        return RunDurations(cumulative=grown[:-1], total_seconds=self._seconds[job], count=grown[-1])


def _workers(rows: Sequence[RowMapping]) -> dict[str, int]:
    now = datetime.now(UTC)
    living = [row for row in rows if row["state"] in ("alive", "draining")]
    alive = sum(row["lease_until"] > now for row in living)
    return {"alive": alive, "stale": len(living) - alive}
