"""The label budget of the exporter: so many jobs have series of their own, all others are folded under `_other`.

Two thousand actors declared by mistake, as by a loop that makes names, must not cost the scrape its sample limit and
with it every alert. Which jobs keep their names is told by the order of names alone: two exporters, and the same one
tomorrow, choose the same ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from observability.catalogue import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from observability.snapshot import JobFacts, ScheduleFacts, Snapshot

__all__ = ["within"]


def within(snapshot: Snapshot, most: int) -> Snapshot:
    """The snapshot with at most `most` jobs, and as many schedules, under their own names.

    Folded jobs are summed by queue; their ages and time limits are the longest ones. Of folded schedules the one that
    is closest to being overdue, or most overdue, speaks for all, with the ticks that all of them missed; so the alert
    on overdue schedules fires for `_other` if it would fire for any of them.
    """
    if len(snapshot.jobs) <= most and len(snapshot.schedules) <= most:
        return snapshot
    names = {fact.job for fact in snapshot.jobs} | {fact.job for fact in snapshot.schedules}
    named = set(sorted(names)[:most])
    kept = [fact for fact in snapshot.jobs if fact.job in named]
    scheduled = [fact for fact in snapshot.schedules if fact.job in named]
    return replace(
        snapshot,
        jobs=(*kept, *_jobs(fact for fact in snapshot.jobs if fact.job not in named)),
        schedules=(*scheduled, *_schedules([fact for fact in snapshot.schedules if fact.job not in named])),
    )


def _jobs(folded: Iterable[JobFacts]) -> Iterable[JobFacts]:
    queues: dict[str, JobFacts] = {}
    for fact in folded:
        before = queues.get(fact.queue)
        queues[fact.queue] = replace(fact, job=OTHER) if before is None else _sum(before, fact)
    return queues.values()


def _sum(one: JobFacts, other: JobFacts) -> JobFacts:
    return replace(
        one,
        dead_letters=one.dead_letters + other.dead_letters,
        oldest_running_age_seconds=max(one.oldest_running_age_seconds, other.oldest_running_age_seconds),
        time_limit_seconds=max(one.time_limit_seconds or 0.0, other.time_limit_seconds or 0.0) or None,
    )


def _schedules(folded: Sequence[ScheduleFacts]) -> Iterable[ScheduleFacts]:
    if not folded:
        return []
    missed: Counter[str] = Counter()
    for fact in folded:
        missed.update(fact.missed)
    failures = max(fact.consecutive_failures for fact in folded)
    worst = min(folded, key=_deadline)
    return [replace(worst, schedule=OTHER, job=OTHER, missed=missed, consecutive_failures=failures)]


def _deadline(fact: ScheduleFacts) -> tuple[bool, float]:
    """Orders schedules by when they become overdue; those that cannot come last."""
    since = fact.last_success_at or fact.created_at
    return not (fact.enabled and fact.max_age_seconds), since.timestamp() + (fact.max_age_seconds or 0.0)
