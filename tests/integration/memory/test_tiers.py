"""Tiers: by age, by recall and by quota, each memory one move a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.tiers import move, tier_transition
from callboard import Run
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, set_timezone

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")
NOTHING = {"scanned": 0, "to_warm": 0, "to_cold": 0, "promoted": 0, "over_quota": 0}


@pytest.fixture
def tenant(memory_database: str) -> UUID:
    del memory_database
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def move_at(now: datetime = NOW, settings: MemorySettings | None = None) -> dict[str, int]:
    run = Run(job="tier_transition_job")
    move(run, settings or get_memory_settings(), now)
    return run.counts


def tiers(ids: Sequence[int]) -> list[str]:
    return [
        row["tier"] for row in rows_of("select tier from memory.memories where id = any(:ids) order by id", ids=ids)
    ]


def ago(days: float, now: datetime = NOW) -> datetime:
    return now - timedelta(days=days)


def placed(tier: str, *, since: float, used: float | None) -> dict[str, object]:
    """A memory in a tier `since` so many days, last recalled `used` days ago."""
    last = None if used is None else ago(used)
    return {"tier": tier, "tier_changed_at": ago(since), "last_accessed_at": last, "created_at": ago(max(since, 300))}


def test_where_a_memory_goes(tenant: UUID, user: UUID) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        (placed("hot", since=90, used=29.9), "hot"),
        (placed("hot", since=90, used=30), "warm"),
        (placed("hot", since=400, used=None), "warm"),
        (placed("hot", since=400, used=399), "warm"),  # one step, however old
        (placed("warm", since=179, used=300), "warm"),
        (placed("warm", since=180, used=300), "cold"),
        (placed("warm", since=180, used=None), "cold"),
        (placed("warm", since=300, used=179), "warm"),  # its time in warm began anew with the recall
        (placed("warm", since=300, used=180), "cold"),
        (placed("warm", since=300, used=29), "hot"),
        (placed("warm", since=29, used=29), "warm"),  # the recall itself moved it there
        (placed("cold", since=100, used=99), "warm"),
        (placed("cold", since=100, used=100), "cold"),
        (placed("cold", since=400, used=200), "cold"),
    ]
    ids = [add_memories(tenant, user, ["x"], **before)[0] for before, _ in cases]
    counts = move_at()
    assert tiers(ids) == [after for _, after in cases]
    assert counts == {"scanned": 14, "to_warm": 3, "to_cold": 3, "promoted": 2, "over_quota": 0}
    assert move_at() == {**NOTHING, "scanned": 14}


def test_each_move_is_told_once_and_starts_the_time_in_the_new_tier(tenant: UUID, user: UUID) -> None:
    moving = [placed("hot", since=90, used=30), placed("warm", since=200, used=300), placed("cold", since=9, used=1)]
    ids = [add_memories(tenant, user, ["x"], **each)[0] for each in moving]
    assert move_at() == {"scanned": 3, "to_warm": 1, "to_cold": 1, "promoted": 1, "over_quota": 0}
    move_at()
    told = rows_of("select memory_id, event_type, source, payload, created_at from memory.memory_events order by 1")
    assert [event["memory_id"] for event in told] == ids
    assert {(event["event_type"], event["source"], event["created_at"]) for event in told} == {
        ("memory.tier_changed", "tier_transition_job", NOW)
    }
    assert [event["payload"] for event in told] == [
        {"from": "hot", "to": "warm", "reason": "age"},
        {"from": "warm", "to": "cold", "reason": "age"},
        {"from": "cold", "to": "warm", "reason": "recall"},
    ]
    assert {row["tier_changed_at"] for row in rows_of("select tier_changed_at from memory.memories")} == {NOW}


def test_over_quota_the_longest_unused_goes_first_then_the_least_important() -> None:
    tenant = add_tenant(hot_quota=2)
    crowded, roomy = add_user(tenant), add_user(tenant)
    uses = [(5, 0.9), (3, 0.1), (3, 0.2), (1, 0.0)]
    ids = [
        add_memories(tenant, crowded, ["x"], last_accessed_at=ago(day), importance=importance)[0]
        for day, importance in uses
    ]
    others = add_memories(tenant, roomy, ["x", "y"])
    assert move_at()["over_quota"] == 2
    assert tiers(ids) == ["warm", "warm", "hot", "hot"]
    assert tiers(others) == ["hot", "hot"]
    assert move_at() == {**NOTHING, "scanned": 6}


def test_without_a_quota_all_stay(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["x", "y", "z"])
    assert move_at(settings=MemorySettings(hot_quota=0))["over_quota"] == 0
    assert move_at(settings=MemorySettings(hot_quota=1))["over_quota"] == 2


def test_a_quota_met_in_batches_ends_as_in_one(tenant: UUID, user: UUID) -> None:
    ids = [add_memories(tenant, user, ["x"], last_accessed_at=ago(number % 7))[0] for number in range(21)]
    assert move_at(settings=MemorySettings(hot_quota=5, lifecycle_batch=2))["over_quota"] == 16
    assert [number for number, tier in zip(range(21), tiers(ids), strict=True) if tier == "hot"] == [0, 7, 8, 14, 15]


def test_tenant_with_90_percent_of_all_rows_and_thresholds_of_its_own() -> None:
    large, small = add_tenant(hot_to_warm_days=10), add_tenant()
    many = add_memories(large, add_user(large), [str(n) for n in range(90)], last_accessed_at=ago(20))
    few = add_memories(small, add_user(small), [str(n) for n in range(10)], last_accessed_at=ago(20))
    counts = move_at(settings=MemorySettings(lifecycle_batch=7))
    assert counts == {**NOTHING, "scanned": 100, "to_warm": 90}
    assert (set(tiers(many)), set(tiers(few))) == ({"warm"}, {"hot"})


def test_clock_set_back_an_hour_promotes_once(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], **{**placed("cold", since=50, used=None), "last_accessed_at": NOW})
    assert move_at(NOW - timedelta(hours=1))["promoted"] == 1
    assert move_at(NOW - timedelta(minutes=30)) == {**NOTHING, "scanned": 1}
    assert move_at(NOW + timedelta(hours=1)) == {**NOTHING, "scanned": 1}
    assert tiers(ids) == ["warm"]


def test_dst_and_leap_days_leave_a_day_24_hours_long(tenant: UUID, user: UUID) -> None:
    set_timezone("Europe/Zurich")
    for now in (datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)):
        due = add_memories(tenant, user, ["x"], last_accessed_at=ago(30, now), created_at=ago(40, now))
        not_yet = add_memories(tenant, user, ["x"], last_accessed_at=ago(30, now) + timedelta(seconds=1))
        move_at(now)
        assert (tiers(due), tiers(not_yet)) == (["warm"], ["hot"])


def test_empty_tenants_and_deleted_memories_are_no_work(tenant: UUID, user: UUID, callboard_run: Run) -> None:
    add_memories(tenant, user, ["x"], retention_status="soft_deleted", last_accessed_at=ago(400))
    add_tenant()
    tier_transition()
    assert callboard_run.counts == NOTHING
    assert callboard_run.is_quiet


def test_archived_memories_have_a_tier_too(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], retention_status="archived", **placed("warm", since=200, used=None))
    assert move_at()["to_cold"] == 1
    assert tiers(ids) == ["cold"]


def test_a_cancelled_run_stops_between_batches(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["x", "y"], last_accessed_at=ago(100))
    run = Run(job="tier_transition_job")
    run.request_cancel()
    move(run, MemorySettings(lifecycle_batch=1), NOW)
    assert run.counts == NOTHING
    assert run.cancel_was_seen
