"""From the facts of a snapshot to the samples of each metric: label values in the catalogue's order, and a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from observability.catalogue import MISS_REASONS, OTHER, OUTCOMES, PREFIX, RESULTS
from observability.snapshot import BROKER, POSTGRES, JobFacts, QueueFacts, RunDurations, ScheduleFacts, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Value: TypeAlias = "float | RunDurations | None"
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
    for schedule in snapshot.schedules:
        told = {fact.reason: fact.count for fact in snapshot.missed if fact.schedule == schedule.schedule}
        for reason, count in _filled(told, MISS_REASONS):
            yield (schedule.schedule, reason), count


def _info(snapshot: Snapshot) -> Samples:
    for fact in snapshot.schedules:
        yield (fact.schedule, fact.job, fact.queue, fact.cadence, "UTC", fact.owner), 1


def _workers(snapshot: Snapshot) -> Samples:
    facts = snapshot.workers
    return [] if facts is None else [(("alive",), facts.alive), (("stale",), facts.stale)]


def _filled(told: Mapping[str, int], known: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Each known key, with 0 where nothing is told, and the sum of unknown ones if there are any."""
    yield from ((key, told.get(key, 0)) for key in known)
    if others := [count for key, count in told.items() if key not in known]:
        yield OTHER, sum(others)


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


def _job(name: str, value: Callable[[JobFacts], Value]) -> Reader:
    return Reader(PREFIX + name, POSTGRES, lambda snapshot: (((fact.job,), value(fact)) for fact in snapshot.jobs))


def _queued_job(name: str, value: Callable[[JobFacts], Value]) -> Reader:
    return Reader(
        PREFIX + name, POSTGRES, lambda snapshot: (((fact.queue, fact.job), value(fact)) for fact in snapshot.jobs)
    )


def _job_counts(name: str, known: tuple[str, ...], counts: Callable[[JobFacts], Mapping[str, int]]) -> Reader:
    def read(snapshot: Snapshot) -> Samples:
        for fact in snapshot.jobs:
            for key, count in _filled(counts(fact), known):
                yield (fact.queue, fact.job, key), count

    return Reader(PREFIX + name, POSTGRES, read)


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
    _schedule_run("schedule_last_success_timestamp_seconds", lambda fact: _seconds(fact.last_success_at)),
    _schedule_run("schedule_last_start_timestamp_seconds", lambda fact: _seconds(fact.last_start_at)),
    _schedule_run("schedule_last_completion_timestamp_seconds", lambda fact: _seconds(fact.last_completion_at)),
    _schedule_run("schedule_next_run_timestamp_seconds", lambda fact: _seconds(fact.next_run_at)),
    _schedule_run("schedule_created_timestamp_seconds", lambda fact: _seconds(fact.created_at)),
    _schedule_run("schedule_last_duration_seconds", lambda fact: fact.last_duration_seconds),
    _schedule("schedule_max_age_seconds", lambda fact: fact.max_age_seconds),
    _schedule("schedule_interval_seconds", lambda fact: fact.interval_seconds),
    _schedule("schedule_enabled", lambda fact: fact.enabled),
    _schedule("schedule_consecutive_failures", lambda fact: fact.consecutive_failures),
    Reader(PREFIX + "schedule_missed_total", POSTGRES, _missed),
    Reader(PREFIX + "schedule_info", POSTGRES, _info),
    _job_counts("attempts_total", OUTCOMES, lambda fact: fact.attempts),
    _job_counts("finished_total", RESULTS, lambda fact: fact.runs),
    _queued_job("run_duration_seconds", lambda fact: fact.durations),
    _queued_job("dead_letters", lambda fact: fact.dead_letters),
    _job("oldest_running_age_seconds", lambda fact: fact.oldest_running_age_seconds),
    _job("actor_time_limit_seconds", lambda fact: fact.time_limit_seconds),
    Reader(PREFIX + "workers", None, _workers),
)
