"""Decay: by timestamps alone, downwards only, and never against a recall."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from actors.memory.forgetting import apply_forgetting_policies, forget
from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import Run, transaction
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, set_timezone
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")


@pytest.fixture
def tenant(memory_database: str) -> UUID:
    del memory_database
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def forget_at(now: datetime = NOW, settings: MemorySettings | None = None) -> dict[str, int]:
    run = Run(job="apply_forgetting_policies_job")
    forget(run, settings or get_memory_settings(), now)
    return run.counts


def scores(ids: Sequence[int]) -> list[float]:
    found = rows_of("select decay_score from memory.memories where id = any(:ids) order by id", ids=list(ids))
    return [row["decay_score"] for row in found]


def ago(days: float, now: datetime = NOW) -> datetime:
    return now - timedelta(days=days)


def test_a_memory_halves_a_half_life_after_its_window_and_recalls_of_old_slow_it(tenant: UUID, user: UUID) -> None:
    ages = {29.9: 1.0, 30.0: 1.0, 60.0: 0.5, 90.0: 0.25, 150.0: 0.0625, 160.0: 0.05, 4000.0: 0.05}
    ids = [add_memories(tenant, user, ["x"], last_accessed_at=ago(age))[0] for age in ages]
    often = add_memories(tenant, user, ["x"], last_accessed_at=ago(60), usage_count=7)
    assert forget_at() == {"scanned": 7, "decayed": 6, "unchanged": 1, "floor_reached": 2}
    assert scores(ids) == pytest.approx(list(ages.values()))
    assert scores(often) == pytest.approx([0.5 * (1 + 0.05 * math.log2(8))])


def test_what_was_never_recalled_counts_from_its_birth(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], created_at=ago(60))
    forget_at()
    assert scores(ids) == [0.5]


def test_a_second_run_writes_nothing_and_neither_does_one_within_the_day(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x", "y"], last_accessed_at=ago(60))
    forget_at()
    rows = "select id, xmin::text, ctid::text from memory.memories order by id"
    before = rows_of(rows)
    assert forget_at()["unchanged"] == 2
    assert forget_at(NOW + timedelta(hours=23, minutes=59))["decayed"] == 0
    assert rows_of(rows) == before
    assert forget_at(NOW + timedelta(days=1))["decayed"] == 2
    assert scores(ids) == pytest.approx([0.5 ** (31 / 30)] * 2)


def test_any_number_of_runs_gives_what_one_gives(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], last_accessed_at=ago(30))
    for day in range(0, 40, 3):
        forget_at(NOW + timedelta(days=day))
    forget_at(NOW + timedelta(days=45))
    assert scores(ids) == pytest.approx([0.5**1.5])


def test_held_pinned_archived_and_summaries_of_hot_memories_are_left_alone(tenant: UUID, user: UUID) -> None:
    old = {"last_accessed_at": ago(90)}
    hot, cold = add_memories(tenant, user, ["x"]), add_memories(tenant, user, ["x"], tier="cold")
    left = add_memories(tenant, user, ["x"], legal_hold=True, **old)
    left += add_memories(tenant, user, ["x"], pinned=True, **old)
    left += add_memories(tenant, user, ["x"], retention_status="archived", **old)
    left += add_memories(tenant, user, ["x"], is_summary=True, parent_ids=[*hot, *cold], extracted_key="a", **old)
    falling = add_memories(tenant, user, ["x"], is_summary=True, parent_ids=cold, extracted_key="b", **old)
    assert forget_at()["scanned"] == 1
    assert scores(left) == [1.0] * 4
    assert scores(falling) == [0.25]


def test_a_tenant_sets_its_own_window_and_half_life() -> None:
    quick, usual = add_tenant(decay_window_days=10, decay_half_life_days=5), add_tenant()
    ids = [add_memories(each, add_user(each), ["x"], last_accessed_at=ago(35))[0] for each in (quick, usual)]
    forget_at()
    assert scores(ids) == pytest.approx([0.05, 0.5 ** (5 / 30)])


def test_no_age_and_no_setting_makes_the_arithmetic_fail(tenant: UUID, user: UUID) -> None:
    old = datetime(1, 1, 1, tzinfo=UTC)
    ids = add_memories(tenant, user, ["x"], created_at=old)
    ids += add_memories(tenant, user, ["x"], last_accessed_at=NOW + timedelta(days=400))
    ids += add_memories(tenant, user, ["x"], last_accessed_at=ago(60), usage_count=2**31 - 1)
    settings = MemorySettings(decay_half_life_days=1e-9, decay_floor=0.0)
    assert forget_at(settings=settings)["decayed"] == 2
    assert scores(ids) == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)


def test_a_tenant_cannot_set_what_would_stop_the_job_for_all(tenant: UUID) -> None:
    sql = "update memory.tenant_settings set {} = cast(:value as float8) where tenant_id = :tenant"
    refused = 0
    for name in ("decay_half_life_days", "decay_window_days", "hot_to_warm_days", "grace_days", "archive_after_days"):
        for value in ("NaN", "Infinity", "-Infinity", "-1", "36501"):
            with (
                pytest.raises(IntegrityError, match=f"tenant_settings_{name.removesuffix('_days')}"),
                transaction() as connection,
            ):
                connection.execute(text(sql.format(name)), {"tenant": tenant, "value": value})
            refused += 1
    assert refused == 25


def test_clock_set_back_an_hour_changes_nothing(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], last_accessed_at=ago(60))
    recalled = add_memories(tenant, user, ["x"], last_accessed_at=NOW)
    forget_at()
    assert forget_at(NOW - timedelta(hours=1)) == {"scanned": 1, "decayed": 0, "unchanged": 1, "floor_reached": 0}
    assert (scores(ids), scores(recalled)) == ([0.5], [1.0])


def test_dst_a_day_has_24_hours_whatever_the_clocks_do(tenant: UUID, user: UUID) -> None:
    """In Zurich the night before 29 March 2026 has 23 hours, the night before 25 October has 25."""
    set_timezone("Europe/Zurich")
    for night in (datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)):
        ids = add_memories(tenant, user, ["x"], last_accessed_at=ago(31, night), created_at=ago(31, night))
        ids += add_memories(tenant, user, ["x"], last_accessed_at=ago(31, night) + timedelta(seconds=1))
        forget_at(night)
        assert scores(ids) == pytest.approx([0.5 ** (1 / 30), 1.0])


def test_leap_days_count_like_others(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], last_accessed_at=datetime(2028, 2, 28, tzinfo=UTC))
    forget_at(datetime(2028, 3, 30, tzinfo=UTC))  # 31 days, of which one is 29 February
    assert scores(ids) == pytest.approx([0.5 ** (1 / 30)])


def test_empty_tenants_and_an_empty_table_are_no_work(callboard_run: Run) -> None:
    add_tenant()
    apply_forgetting_policies()
    assert callboard_run.counts == {"scanned": 0, "decayed": 0, "unchanged": 0, "floor_reached": 0}
    assert callboard_run.is_quiet


def test_a_recall_between_the_look_and_the_write_wins(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x", "y"], last_accessed_at=ago(60))
    seen: list[dict[str, int]] = []
    job = threading.Thread(target=lambda: seen.append(forget_at()))
    with transaction() as connection:
        recall = "update memory.memories set decay_score = 1, usage_count = usage_count + 1, last_accessed_at = :now"
        connection.execute(text(f"{recall} where id = :id"), {"id": ids[0], "now": NOW})
        job.start()
        waits = "select count(*) from pg_stat_activity where wait_event = 'transactionid' and query like '%idle%'"
        eventually(lambda: rows_of(waits)[0]["count"], what="the job to wait for the recall")
    job.join()
    assert (scores(ids), seen[0]["decayed"]) == ([1.0, 0.5], 1)


def test_decay_updates_no_index(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, [str(number) for number in range(8)], last_accessed_at=ago(60))
    forget_at()

    def hot_updates() -> bool:
        counted = "select n_tup_upd, n_tup_hot_upd from pg_stat_all_tables where relid = 'memory.memories'::regclass"
        with transaction() as connection:
            connection.execute(text("select pg_stat_force_next_flush()"))
        return rows_of(counted) == [{"n_tup_upd": 8, "n_tup_hot_upd": 8}]

    eventually(hot_updates, what="eight heap-only updates")


def test_batches_and_cancelling(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, [str(number) for number in range(25)], last_accessed_at=ago(60))
    with transaction() as connection:  # gaps, and a row in another place than its id says
        connection.execute(text("delete from memory.memories where id = any(:ids)"), {"ids": ids[3:9]})
    settings = MemorySettings(lifecycle_batch=4)
    cancelled = Run(job="test")
    cancelled.request_cancel()
    forget(cancelled, settings, NOW)
    assert cancelled.counts["scanned"] == 0
    run = Run(job="test")
    forget(run, settings, NOW)
    assert run.counts["decayed"] == 19
    assert run.latest_progress == {"processed": 19, "total": 19, "message": "19 of 19 memories"}
