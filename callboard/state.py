"""The state of the board at one moment, for the exporter: each source read on its own, so that one may be down.

The broker and the ledger are asked at the same time, and neither for longer than `PATIENCE_SECONDS`. Nothing here grows
with the number of messages or of runs: what would have to be counted is read from an index that holds only what is
open, and what is only wanted roughly from Postgres' statistics.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from callboard import canary
from callboard.broker import Transport
from callboard.broker.loads import Held, Load, held
from callboard.compose import get_broker
from callboard.ledger import health
from callboard.settings import get_settings
from callboard.spec import spec_of
from observability.budget import within
from observability.snapshot import (
    BROKER,
    POSTGRES,
    BreakerFacts,
    JobFacts,
    QueueFacts,
    ScheduleFacts,
    Snapshot,
    WorkersFacts,
)
from observability.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import RowMapping

    from callboard.cadence import Cadence
    from callboard.ledger.health import Health
    from callboard.settings import Settings
    from callboard.spec import JobSpec

# The metric's word for what the ledger calls paused.
_REASONS = {"paused": "disabled"}
_NOTHING_HELD = Held({}, None)


def snapshot() -> Snapshot:
    """Everything the exporter shows; never raises: a source that fails or hangs is told as down."""
    asked = _broker.begin(), _ledger.begin()
    told, ledger = asked[0](), asked[1]()
    settings, specs, load = get_settings(), _specs(), told.facts or _NOTHING_HELD
    known = Snapshot(
        queues=tuple(_queues(specs.values(), load, ledger.facts, settings)),
        workers_expected=settings.workers_expected or None,
        clock_skew_seconds=load.clock_skew,
        objectives={spec.slo_name: spec.slo.objective for spec in specs.values() if spec.slo},
        sources={BROKER: told.state, POSTGRES: ledger.state},
    )
    if ledger.facts is not None:
        known = _with_ledger(known, ledger.facts, specs)
    return within(known, settings.metrics_most_actors)


def _specs() -> dict[str, JobSpec]:
    """The declared jobs by name. The canary is none: it runs in every queue, and its queue's row tells of it."""
    actors = sorted(get_broker().actors.items())
    return {name: spec_of(actor) for name, actor in actors if name != canary.NAME}


def _hold() -> Held:
    broker = get_broker()
    if not isinstance(broker, Transport):
        return _NOTHING_HELD
    return held(broker, sorted(broker.get_declared_queues()))


_broker = Source(BROKER, _hold)
_ledger = Source(POSTGRES, health.read)


def _queues(specs: Iterable[JobSpec], told: Held, ledger: Health | None, settings: Settings) -> Iterable[QueueFacts]:
    limits: dict[str, float] = {}
    for spec in specs:
        limits[spec.queue] = max(limits.get(spec.queue, 0.0), spec.time_limit)
    for name in sorted(get_broker().get_declared_queues()):
        load = told.loads.get(name, Load())
        yield QueueFacts(
            queue=name,
            ready=load.ready,
            claimed=load.claimed,
            delayed=load.delayed,
            orphaned=load.orphaned,
            oldest_ready_age_seconds=load.oldest_ready,
            oldest_delayed_overdue_seconds=load.overdue,
            paused=None if told.paused is None else name in told.paused,
            max_age_seconds=settings.queue_promises.get(name, settings.queue_max_age_seconds),
            longest_time_limit_seconds=limits.get(name),
            dead=None if ledger is None else ledger.dead_in.get(name, 0),
            dead_oldest_age_seconds=None if ledger is None else ledger.dead_seconds.get(name, 0.0),
            consumers=None if ledger is None else ledger.consumers.get(name, 0),
            canary_at=None if ledger is None else ledger.canaries.get(name),
        )


def _with_ledger(known: Snapshot, ledger: Health, specs: Mapping[str, JobSpec]) -> Snapshot:
    now = datetime.now(UTC)
    return replace(
        known,
        schedules=tuple(_schedule(row, specs.get(row["job"]), now) for row in ledger.schedules),
        jobs=tuple(_jobs(ledger, specs)),
        workers=WorkersFacts(ledger.alive, ledger.stale),
        outbox_oldest_age_seconds=ledger.unsent_seconds,
        breakers=tuple(BreakerFacts(**row) for row in ledger.breakers),
        table_rows=ledger.table_rows,
    )


def _jobs(ledger: Health, specs: Mapping[str, JobSpec]) -> Iterable[JobFacts]:
    for name, spec in specs.items():
        yield JobFacts(
            job=name,
            queue=spec.queue,
            dead_letters=ledger.dead.get((spec.queue, name), 0),
            oldest_running_age_seconds=ledger.running_seconds.get(name, 0.0),
            time_limit_seconds=spec.time_limit,
        )


def _schedule(row: RowMapping, spec: JobSpec | None, now: datetime) -> ScheduleFacts:
    cadence = None if spec is None else spec.cadence
    missed: Mapping[str, Any] = row["missed"]
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
        next_run_at=None if cadence is None else cadence.after(now),
        last_duration_seconds=row["last_duration_seconds"],
        last_records=row["last_records"],
        consecutive_failures=row["consecutive_failures"],
        max_age_seconds=_max_age(row, cadence),
        owner="" if spec is None else spec.owner,
        tier="page" if spec is None else spec.tier,
        missed={_REASONS.get(reason, reason): ticks for reason, ticks in missed.items()},
    )


def _max_age(row: RowMapping, cadence: Cadence | None) -> float | None:
    """Seconds that the last success may be old: until two ticks after it, and what a run takes, have passed.

    Not twice an interval: a cadence of office hours has a long gap every night.
    """
    if cadence is None:
        return None
    return _two_ticks(cadence, row["last_success_at"] or row["created_at"]) + float(row["last_duration_seconds"] or 0.0)


@lru_cache(maxsize=4096)
def _two_ticks(cadence: Cadence, since: datetime) -> float:
    """Seconds from `since` to the second tick after it; remembered, as few schedules succeed between two scrapes."""
    return (cadence.after(cadence.after(since)) - since).total_seconds()
