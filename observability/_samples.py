"""From the facts of a snapshot to the samples of each metric: label values in the catalogue's order, and a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from observability.catalogue import BREAKER_STATES, MISS_REASONS, OTHER, PREFIX
from observability.snapshot import BROKER, POSTGRES, BreakerFacts, QueueFacts, ScheduleFacts, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# Kinds of breakers come from code; a key that is none, e.g. a URL, must not make a series each.
_MOST_KINDS = 50

Value: TypeAlias = "float | None"
Samples: TypeAlias = "Iterable[tuple[tuple[str, ...], Value]]"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads samples of `metric`; asked only while `source` is up, always if that is None."""

    metric: str
    source: str | None
    read: Callable[[Snapshot], Samples]


def _broker_depth(snapshot: Snapshot) -> Samples:
    for queue in snapshot.queues:
        states = (("ready", queue.ready), ("claimed", queue.claimed), ("delayed", queue.delayed))
        for state, depth in (*states, ("orphaned", queue.orphaned)):
            yield (queue.queue, state), depth


def _dead_depth(snapshot: Snapshot) -> Samples:
    return (((queue.queue, "dead"), queue.dead) for queue in snapshot.queues)


def _missed(snapshot: Snapshot) -> Samples:
    for fact in snapshot.schedules:
        for reason, count in _filled(fact.missed, MISS_REASONS):
            yield (fact.schedule, reason), count


def _info(snapshot: Snapshot) -> Samples:
    for fact in snapshot.schedules:
        yield (fact.schedule, fact.job, fact.queue, fact.cadence, "UTC", fact.owner, fact.tier), 1


def _workers(snapshot: Snapshot) -> Samples:
    facts = snapshot.workers
    return [] if facts is None else [(("alive",), facts.alive), (("stale",), facts.stale)]


def _breakers(snapshot: Snapshot) -> Samples:
    for kind, facts in _by_kind(snapshot).items():
        for state in BREAKER_STATES:
            yield (kind, state), sum(fact.breakers for fact in facts if fact.state == state)


def _breaker_ages(snapshot: Snapshot) -> Samples:
    return (((kind,), max(fact.open_seconds for fact in facts)) for kind, facts in _by_kind(snapshot).items())


def _by_kind(snapshot: Snapshot) -> dict[str, list[BreakerFacts]]:
    """The breakers' facts; kinds beyond the first so many, by name, go under one."""
    named = sorted({fact.kind for fact in snapshot.breakers})[:_MOST_KINDS]
    found: dict[str, list[BreakerFacts]] = {}
    for fact in snapshot.breakers:
        found.setdefault(fact.kind if fact.kind in named else OTHER, []).append(fact)
    return found


def _filled(told: Mapping[str, int], known: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Each known key, with 0 where nothing is told, and the sum of unknown ones if there are any."""
    yield from ((key, told.get(key, 0)) for key in known)
    if others := [count for key, count in told.items() if key not in known]:
        yield OTHER, sum(others)


def _one(name: str, source: str | None, value: Callable[[Snapshot], Value]) -> Reader:
    return Reader(PREFIX + name, source, lambda snapshot: [((), value(snapshot))])


def _each(name: str, source: str | None, values: Callable[[Snapshot], Mapping[str, float]]) -> Reader:
    return Reader(PREFIX + name, source, lambda snapshot: (((key,), value) for key, value in values(snapshot).items()))


def _queue(name: str, source: str | None, value: Callable[[QueueFacts], Value]) -> Reader:
    return Reader(PREFIX + name, source, lambda snapshot: (((fact.queue,), value(fact)) for fact in snapshot.queues))


def _schedule(name: str, value: Callable[[ScheduleFacts], Value]) -> Reader:
    return Reader(
        PREFIX + name, POSTGRES, lambda snapshot: (((fact.schedule,), value(fact)) for fact in snapshot.schedules)
    )


def _schedule_run(name: str, value: Callable[[ScheduleFacts], Value]) -> Reader:
    return Reader(
        PREFIX + name,
        POSTGRES,
        lambda snapshot: (((fact.schedule, fact.job), value(fact)) for fact in snapshot.schedules),
    )


def _schedule_moment(name: str, moment: Callable[[ScheduleFacts], datetime | None]) -> Reader:
    return Reader(
        f"{PREFIX}{name}_timestamp_seconds",
        POSTGRES,
        lambda snapshot: (
            ((fact.schedule, fact.job, fact.tier), _seconds(moment(fact))) for fact in snapshot.schedules
        ),
    )


def _job_ages(snapshot: Snapshot) -> Samples:
    return _longest((fact.job, fact.oldest_running_age_seconds) for fact in snapshot.jobs)


def _job_limits(snapshot: Snapshot) -> Samples:
    return _longest((fact.job, fact.time_limit_seconds) for fact in snapshot.jobs if fact.time_limit_seconds)


def _longest(values: Iterable[tuple[str, float]]) -> Samples:
    """One sample a job: what is folded under one name stands in several queues."""
    longest: dict[str, float] = {}
    for job, value in values:
        longest[job] = max(value, longest.get(job, value))
    return (((job,), value) for job, value in longest.items())


def _dead_letters(snapshot: Snapshot) -> Samples:
    return (((fact.queue, fact.job), fact.dead_letters) for fact in snapshot.jobs)


def _seconds(moment: datetime | None) -> float | None:
    """Unix time; a naive moment is taken for UTC, never for the local time of the host."""
    if moment is None:
        return None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


READERS: tuple[Reader, ...] = (
    Reader(PREFIX + "queue_depth", BROKER, _broker_depth),
    Reader(PREFIX + "queue_depth", POSTGRES, _dead_depth),
    _queue("queue_oldest_ready_age_seconds", BROKER, lambda fact: fact.oldest_ready_age_seconds),
    _queue("queue_consumers", None, lambda fact: fact.consumers),
    _queue("queue_paused", BROKER, lambda fact: fact.paused),
    _queue("queue_max_age_seconds", None, lambda fact: fact.max_age_seconds),
    _queue("queue_oldest_delayed_overdue_seconds", BROKER, lambda fact: fact.oldest_delayed_overdue_seconds),
    _queue("queue_dead_oldest_age_seconds", POSTGRES, lambda fact: fact.dead_oldest_age_seconds),
    _queue("queue_longest_time_limit_seconds", None, lambda fact: fact.longest_time_limit_seconds),
    _queue("canary_last_success_timestamp_seconds", POSTGRES, lambda fact: _seconds(fact.canary_at)),
    _schedule_moment("schedule_last_success", lambda fact: fact.last_success_at),
    _schedule_moment("schedule_last_start", lambda fact: fact.last_start_at),
    _schedule_moment("schedule_last_completion", lambda fact: fact.last_completion_at),
    _schedule_moment("schedule_next_run", lambda fact: fact.next_run_at),
    _schedule_moment("schedule_created", lambda fact: fact.created_at),
    _schedule_run("schedule_last_duration_seconds", lambda fact: fact.last_duration_seconds),
    _schedule("schedule_max_age_seconds", lambda fact: fact.max_age_seconds),
    _schedule("schedule_interval_seconds", lambda fact: fact.interval_seconds),
    _schedule("schedule_enabled", lambda fact: fact.enabled),
    _schedule("schedule_consecutive_failures", lambda fact: fact.consecutive_failures),
    _schedule_run("schedule_last_records", lambda fact: fact.last_records),
    Reader(PREFIX + "schedule_missed_total", POSTGRES, _missed),
    Reader(PREFIX + "schedule_info", POSTGRES, _info),
    Reader(PREFIX + "dead_letters", POSTGRES, _dead_letters),
    Reader(PREFIX + "oldest_running_age_seconds", POSTGRES, _job_ages),
    Reader(PREFIX + "actor_time_limit_seconds", POSTGRES, _job_limits),
    Reader(PREFIX + "workers", None, _workers),
    _one("workers_expected", None, lambda snapshot: snapshot.workers_expected),
    _one("broker_clock_skew_seconds", BROKER, lambda snapshot: snapshot.clock_skew_seconds),
    _each("slo_objective_ratio", None, lambda snapshot: snapshot.objectives),
    _one("outbox_oldest_age_seconds", POSTGRES, lambda snapshot: snapshot.outbox_oldest_age_seconds),
    Reader(PREFIX + "breakers", POSTGRES, _breakers),
    Reader(PREFIX + "breaker_open_seconds", POSTGRES, _breaker_ages),
    _each("run_table_rows", POSTGRES, lambda snapshot: snapshot.table_rows),
)
