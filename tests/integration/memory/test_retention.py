"""Retention: each state in its order, one step a run, and nothing deleted that is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from actors.memory.retention import enforce, retention_enforcement
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.tables import embeddings, memory_candidates, webhooks
from callboard import Run, transaction
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of, set_timezone, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")
NOTHING = {"scanned": 0, "archived": 0, "soft_deleted": 0, "hard_delete_pending": 0, "purged": 0, "held": 0}


@pytest.fixture
def tenant(memory_database: str) -> UUID:
    del memory_database
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def enforce_at(now: datetime = NOW, settings: MemorySettings | None = None) -> dict[str, int]:
    """What was counted, without zeros."""
    run = Run(job="retention_enforcement_job")
    enforce(run, settings or get_memory_settings(), now)
    return {name: number for name, number in run.counts.items() if number}


def states(ids: Sequence[int]) -> list[str]:
    found = rows_of("select id, retention_status from memory.memories where id = any(:ids)", ids=ids)
    by_id = {row["id"]: row["retention_status"] for row in found}
    return [by_id.get(number, "purged") for number in ids]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


def add_webhook(tenant: UUID, *types: str) -> None:
    row = {"id": uuid4(), "tenant_id": tenant, "name": "x", "url": "https://example.com", "secret": b"x"}
    with transaction() as connection:
        connection.execute(insert(webhooks), {**row, "event_types": list(types)})


def add_vectors(ids: Sequence[int]) -> None:
    rows = [
        {"memory_id": number, "content_hash": "x", "model": "m", "embedding": [0.0, 1.0], "embedded_at": NOW}
        for number in ids
    ]
    with transaction() as connection:
        connection.execute(insert(embeddings), rows)


def test_a_memory_goes_through_all_states_in_order(tenant: UUID, user: UUID) -> None:
    """90 days active, 60 archived, 7 of grace; then the pass after the one that marked it purges it."""
    (memory,) = add_memories(tenant, user, ["x"], archive_at=day(90), retention_expires_at=day(150))
    add_vectors([memory])
    seen = {}
    for number in (0, 89, 90, 91, 149, 150, 151, 156, 157, 158, 159, 170):
        if counts := enforce_at(day(number)):
            seen[number] = counts
    assert seen == {
        90: {"scanned": 1, "archived": 1},
        150: {"scanned": 1, "soft_deleted": 1},
        157: {"scanned": 1, "hard_delete_pending": 1},
        158: {"scanned": 1, "purged": 1},
    }
    events = rows_of("select event_type, source, payload, created_at from memory.memory_events order by id")
    assert [event["event_type"] for event in events] == [
        "memory.archived",
        "memory.deleted",
        "memory.hard_delete_pending",
        "memory.purged",
    ]
    assert [(event["payload"]["from"], event["payload"]["to"]) for event in events] == [
        ("active", "archived"),
        ("archived", "soft_deleted"),
        ("soft_deleted", "hard_delete_pending"),
        ("hard_delete_pending", "purged"),
    ]
    assert [event["created_at"] for event in events] == [day(90), day(150), day(157), day(158)]
    assert rows_of("select memory_id from memory.embeddings") == []
    audited = rows_of("select event_type, category, payload_json, created_at from memory.audit_logs")
    assert [list(row.values()) for row in audited] == [
        ["memory.purge", "data", {"memory_id": memory, "deletion_method": "retention_policy"}, day(158)]
    ]
    (tombstone,) = rows_of("select memory_id, user_id, deletion_method, purged_at from memory.tombstones")
    assert tombstone == {
        "memory_id": memory,
        "user_id": user,
        "deletion_method": "retention_policy",
        "purged_at": day(158),
    }


def test_soft_deletion_stamps_when_why_and_until_when_it_can_be_undone() -> None:
    patient, usual = add_tenant(grace_days=30), add_tenant()
    for tenant in (patient, usual):
        add_memories(tenant, add_user(tenant), ["x"], retention_expires_at=NOW, hard_delete_at=ago(1))
    assert enforce_at() == {"scanned": 2, "soft_deleted": 2}
    stamps = rows_of("select tenant_id, deleted_at, hard_delete_at, deletion_method from memory.memories order by id")
    assert [list(row.values()) for row in stamps] == [
        [patient, NOW, day(30), "retention_policy"],
        [usual, NOW, day(7), "retention_policy"],
    ]


def test_a_run_that_is_repeated_makes_no_second_step(tenant: UUID, user: UUID) -> None:
    """Everything is long overdue, as after months without a scheduler: each state lasts half a day all the same."""
    ids = add_memories(tenant, user, ["x"], archive_at=ago(300), retention_expires_at=ago(200))
    walked = []
    for hours in (0, 0, 11.9, 12, 13, 24 * 7 + 12, 24 * 7 + 13, 24 * 8):
        enforce_at(NOW + timedelta(hours=hours))
        walked += states(ids)
    assert walked == [
        *["archived"] * 3,
        *["soft_deleted"] * 2,
        *["hard_delete_pending"] * 2,
        "purged",
    ]


def test_without_an_archive_and_at_a_hard_end_it_is_deleted_at_once(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], retention_expires_at=ago(0))
    ids += add_memories(tenant, user, ["x"], archive_at=ago(5), expires_at=ago(1))
    ids += add_memories(tenant, user, ["x"], retention_status="archived", expires_at=ago(1))
    ids += add_memories(tenant, user, ["x"], archive_at=day(1), retention_expires_at=day(2), expires_at=day(3))
    ids += add_memories(tenant, user, ["x"])
    assert enforce_at() == {"scanned": 3, "soft_deleted": 3}
    assert states(ids) == [*["soft_deleted"] * 3, "active", "active"]


def test_a_legal_hold_pauses_what_deletes_until_it_is_lifted(tenant: UUID, user: UUID) -> None:
    past = {"deleted_at": ago(9), "hard_delete_at": ago(1), "legal_hold": True}
    ids = add_memories(tenant, user, ["x"], retention_status="hard_delete_pending", **past)
    ids += add_memories(tenant, user, ["x"], retention_status="soft_deleted", **past)
    ids += add_memories(tenant, user, ["x"], retention_expires_at=ago(1), legal_hold=True)
    archived = add_memories(tenant, user, ["x"], archive_at=ago(1), legal_hold=True)
    assert enforce_at() == {"scanned": 4, "archived": 1, "held": 3}
    assert states(ids) == ["hard_delete_pending", "soft_deleted", "active"]
    assert states(archived) == ["archived"]
    lift = "update memory.memories set legal_hold = false, deletion_method = 'legal_hold_release' where id = any(:ids)"
    with transaction() as connection:
        connection.execute(text(lift), {"ids": ids})
    assert enforce_at() == {"scanned": 3, "purged": 1, "hard_delete_pending": 1, "soft_deleted": 1}
    assert value_of("select deletion_method from memory.tombstones") == "legal_hold_release"
    methods = rows_of("select deletion_method from memory.memories where id = any(:ids)", ids=ids)
    assert [row["deletion_method"] for row in methods] == ["legal_hold_release"] * 2


def test_many_held_memories_do_not_hide_what_is_due_behind_them(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, [str(n) for n in range(9)], retention_expires_at=ago(50), legal_hold=True)
    ids = add_memories(tenant, user, ["x", "y"], retention_expires_at=ago(1))
    settings = MemorySettings(lifecycle_batch=3)
    assert enforce_at(settings=settings) == {"scanned": 11, "held": 9, "soft_deleted": 2}
    assert states(ids) == ["soft_deleted"] * 2


def test_what_a_user_deleted_without_saying_until_when_gets_its_grace(tenant: UUID, user: UUID) -> None:
    given = {"retention_status": "soft_deleted", "deletion_method": "gdpr_request"}
    ids = add_memories(tenant, user, ["x"], deleted_at=ago(6), **given)
    assert enforce_at() == {"scanned": 1}
    assert enforce_at(day(1)) == {"scanned": 1, "hard_delete_pending": 1}
    assert enforce_at(day(2)) == {"scanned": 1, "purged": 1}
    assert states(ids) == ["purged"]
    assert value_of("select deletion_method from memory.tombstones") == "gdpr_request"


def test_webhooks_hear_of_the_soft_deletion_only_and_of_no_text() -> None:
    told, silent = add_tenant(), add_tenant()
    add_webhook(told, "memory.deleted")
    add_webhook(told, "memory.created")
    user = add_user(told)
    (memory,) = add_memories(told, user, ["a secret"], retention_expires_at=NOW, project_id=uuid4())
    add_memories(silent, add_user(silent), ["x"], retention_expires_at=NOW)
    for number in (0, 0, 7, 8):
        enforce_at(day(number))
    (delivery,) = rows_of("select event_type, payload_json from memory.webhook_deliveries")
    assert delivery["event_type"] == "memory.deleted"
    assert f'"id":{memory}' in delivery["payload_json"]
    assert "secret" not in delivery["payload_json"]


def test_what_an_old_backup_brings_back_is_purged_again(tenant: UUID, user: UUID) -> None:
    (memory,) = add_memories(tenant, user, ["gone"], retention_status="hard_delete_pending", deleted_at=ago(8))
    copy = "create table memory.backup as select * from memory.memories"
    with transaction() as connection:
        connection.execute(text(copy))
    enforce_at()
    assert states([memory]) == ["purged"]
    with transaction() as connection:
        connection.execute(text("update memory.backup set retention_status = 'active', deleted_at = null"))
        connection.execute(text("insert into memory.memories select * from memory.backup"))
    add_vectors([memory])
    assert enforce_at(day(1)) == {"scanned": 1, "purged": 1}
    assert states([memory]) == ["purged"]
    assert rows_of("select memory_id from memory.embeddings") == []


def test_a_number_that_was_given_again_after_a_restore_is_another_memory(tenant: UUID, user: UUID) -> None:
    (memory,) = add_memories(tenant, user, ["gone"], retention_status="hard_delete_pending", deleted_at=ago(8))
    enforce_at()
    add_memories(tenant, user, ["another text"], id=memory)
    assert enforce_at(day(1)) == {}
    assert states([memory]) == ["active"]


def test_a_purge_leaves_no_text_behind_in_the_candidate_it_was_made_from(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x", "y"], retention_status="hard_delete_pending", deleted_at=ago(8))
    kept = add_memories(tenant, user, ["z"])
    rows = [
        {
            "tenant_id": tenant,
            "user_id": user,
            "source_type": "structured_row",
            "category": "FACT",
            "content_ciphertext": b"sealed",
            "source_input_hash": str(memory),
            "decision": "created",
            "memory_id": memory,
        }
        for memory in [*ids, *kept]
    ]
    with transaction() as connection:
        connection.execute(insert(memory_candidates), rows)
    enforce_at()
    left = rows_of("select source_input_hash, content_ciphertext from memory.memory_candidates order by memory_id")
    assert [(row["source_input_hash"], bytes(row["content_ciphertext"])) for row in left] == [
        (str(ids[0]), b""),
        (str(ids[1]), b""),
        (str(kept[0]), b"sealed"),
    ]


def test_empty_tenants_are_no_work(callboard_run: Run) -> None:
    add_tenant()
    retention_enforcement()
    assert callboard_run.counts == NOTHING
    assert callboard_run.is_quiet


def test_clock_set_back_an_hour_takes_no_step_and_skips_none(tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["x"], archive_at=NOW, retention_expires_at=NOW)
    assert enforce_at() == {"scanned": 1, "archived": 1}
    assert enforce_at(NOW - timedelta(hours=1)) == {}
    assert enforce_at(day(1)) == {"scanned": 1, "soft_deleted": 1}
    assert states(ids) == ["soft_deleted"]


def test_dst_and_leap_days_leave_the_grace_its_full_days(tenant: UUID, user: UUID) -> None:
    set_timezone("Europe/Zurich")
    for now in (datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2028, 2, 27, tzinfo=UTC)):
        ids = add_memories(tenant, user, ["x"], retention_expires_at=now)
        enforce_at(now)
        deleted = rows_of("select hard_delete_at from memory.memories where id = :id", id=ids[0])
        assert deleted[0]["hard_delete_at"] == now + timedelta(hours=7 * 24)


def test_tenant_with_90_percent_of_all_rows_in_batches() -> None:
    large, small = add_tenant(), add_tenant()
    ids = add_memories(large, add_user(large), [str(n) for n in range(90)], archive_at=ago(1))
    ids += add_memories(small, add_user(small), [str(n) for n in range(10)], archive_at=ago(1))
    run = Run(job="retention_enforcement_job")
    enforce(run, MemorySettings(lifecycle_batch=7), NOW)
    assert run.counts == {**NOTHING, "scanned": 100, "archived": 100}
    assert run.latest_progress == {"processed": 100, "total": 100, "message": "100 of 100 memories that are due"}
    assert set(states(ids)) == {"archived"}


def test_a_cancelled_run_stops_between_batches(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["x"], archive_at=ago(1))
    run = Run(job="retention_enforcement_job")
    run.request_cancel()
    enforce(run, get_memory_settings(), NOW)
    assert run.counts == NOTHING


def test_what_is_due_is_found_by_the_index(tenant: UUID, user: UUID) -> None:
    from actors.memory.retention import _TOTAL

    add_memories(tenant, user, ["x"])
    with transaction() as connection:
        connection.execute(text("set local enable_seqscan = off"))
        plan = connection.execute(text(f"explain {_TOTAL.text}"), {"now": NOW, "settled": NOW}).scalars().all()
    assert "memories_due_idx" in "\n".join(plan)
