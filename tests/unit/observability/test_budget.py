from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from observability.budget import within
from observability.catalogue import OTHER
from observability.exporter import StateCollector
from observability.snapshot import BROKER, POSTGRES, JobFacts, ScheduleFacts, Snapshot, SourceState

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
UP = SourceState(up=True, seconds=0.01)


def schedule(name: str, **facts: object) -> ScheduleFacts:
    made = ScheduleFacts(name, name, "q", "@hourly", 3600.0, enabled=True, created_at=NOW, max_age_seconds=7200.0)
    return replace(made, **facts)  # type: ignore[arg-type]  # any of its fields


def test_within_the_budget_nothing_changes() -> None:
    snapshot = Snapshot(jobs=(JobFacts("a", "q"), JobFacts("b", "q")), schedules=(schedule("a"),))
    assert within(snapshot, 2) is snapshot


def test_beyond_it_jobs_are_summed_by_queue_in_the_order_of_names() -> None:
    jobs = (
        JobFacts("d", "slow", dead_letters=8, oldest_running_age_seconds=5.0),
        JobFacts("c", "fast", dead_letters=4, oldest_running_age_seconds=9.0, time_limit_seconds=30.0),
        JobFacts("b", "fast", dead_letters=2, oldest_running_age_seconds=1.0, time_limit_seconds=60.0),
        JobFacts("a", "fast", dead_letters=1),
    )
    assert sorted(within(Snapshot(jobs=jobs), 1).jobs, key=lambda fact: (fact.job, fact.queue)) == [
        JobFacts(OTHER, "fast", dead_letters=6, oldest_running_age_seconds=9.0, time_limit_seconds=60.0),
        JobFacts(OTHER, "slow", dead_letters=8, oldest_running_age_seconds=5.0),
        JobFacts("a", "fast", dead_letters=1),
    ]


def test_the_most_overdue_schedule_speaks_for_those_beyond() -> None:
    fresh = schedule("b", last_success_at=NOW, missed={"late": 1}, consecutive_failures=3)
    overdue = schedule("c", last_success_at=NOW - timedelta(days=3), missed={"late": 2, "overlap": 1})
    paused = schedule("d", last_success_at=NOW - timedelta(days=30), enabled=False)
    unknown = schedule("e", created_at=NOW - timedelta(days=60), max_age_seconds=None)
    schedules = (schedule("a"), fresh, overdue, paused, unknown)
    kept, folded = within(Snapshot(schedules=schedules), 1).schedules
    assert kept == schedule("a")
    assert (folded.schedule, folded.job) == (OTHER, OTHER)
    assert (folded.last_success_at, folded.max_age_seconds) == (overdue.last_success_at, 7200.0)
    assert (dict(folded.missed), folded.consecutive_failures) == ({"late": 3, "overlap": 1}, 3)


def test_two_thousand_recurring_actors_stay_within_the_limit_of_a_scrape() -> None:
    names = [f"job_{number:04}" for number in range(2000)]
    whole = {"last_success_at": NOW, "last_start_at": NOW, "last_completion_at": NOW, "next_run_at": NOW}
    snapshot = Snapshot(
        jobs=tuple(JobFacts(name, "q", dead_letters=1, time_limit_seconds=60.0) for name in names),
        schedules=tuple(schedule(name, **whole, last_duration_seconds=1.0, last_records=1) for name in names),
        sources={BROKER: UP, POSTGRES: UP},
    )
    samples = [
        sample
        for family in StateCollector(lambda: within(snapshot, 500)).collect()
        for sample in family.samples
        if "actor" in sample.labels or "schedule" in sample.labels
    ]
    assert {sample.labels.get("actor", OTHER) for sample in samples} == {*names[:500], OTHER}
    assert len(samples) == 501 * (16 + 3)
    dead = {s.labels["actor"]: s.value for s in samples if s.name == "callboard_dead_letters"}
    assert (dead[OTHER], sum(dead.values())) == (1500, 2000)
    keys = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(set(keys)) == len(keys)
