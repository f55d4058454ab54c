"""The capture queue without a language model: each decision, poison, workers side by side, and being run again."""

from __future__ import annotations

import random
import string
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from actors.memory.capture import process_capture_queue_job, promote_candidate
from actors.memory.capture import queue as queues
from actors.memory.capture.promoting import promote
from actors.memory.capture.queue import Part
from actors.memory.settings import get_memory_settings
from actors.memory.texts import Keyring
from callboard import PermanentError, Run, get_settings, transaction
from callboard.ledger import database
from callboard.run import enter_run
from tests.integration.memory.kit import add_tenant, add_user, rows_of, value_of
from tests.integration.memory.queueing import NOTHING, TEA, decisions, drain, memories, queue

if TYPE_CHECKING:
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def spoil(change: str, number: int) -> None:
    """Damage the n-th candidate."""
    with transaction() as connection:
        which = f"(select id from memory.memory_candidates order by id limit 1 offset {number - 1})"
        connection.execute(text(f"update memory.memory_candidates set {change} where id = {which}"))


def test_an_empty_queue_is_a_quiet_run(callboard_run: Run) -> None:
    process_capture_queue_job()
    assert (callboard_run.counts, callboard_run.is_quiet) == (NOTHING, True)


def test_a_candidate_becomes_a_memory_that_can_be_read(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, f"  {TEA}\n", extracted_key="Favourite drink", importance=0.7)
    before = datetime.now(UTC)
    assert drain() == NOTHING | {"scanned": 1, "created": 1, "unchecked": 1}
    (memory,) = memories()
    with transaction() as connection:
        assert Keyring.of(connection, [user]).decrypt(user, bytes(memory["text_ciphertext"])) == TEA
    assert (memory["extracted_type"], memory["extracted_key"]) == ("FACT", "favourite_drink")
    assert (memory["source"], memory["importance_score"], memory["gated"]) == ("structured_row", 70, False)
    assert (memory["tier"], memory["retention_status"]) == ("hot", "active")
    assert memory["archive_at"] - memory["created_at"] == timedelta(days=90)
    assert before <= memory["created_at"] <= datetime.now(UTC)
    (candidate,) = rows_of("select decision, memory_id, decided_at from memory.memory_candidates")
    assert (candidate["decision"], candidate["memory_id"]) == ("created", memory["id"])
    assert candidate["decided_at"] == memory["created_at"]


def test_each_decision_for_its_reason() -> None:
    tenant = add_tenant(deny_words=["", "Project  X", "salary"])
    ben = add_user(tenant)
    queue(tenant, ben, "Too short", TEA, "Anna is at the airport with Tom.", "Tell nobody of project x, please.")
    queue(tenant, ben, "Nobody knows its key at all.", extracted_key="?!")
    queue(tenant, ben, "Salaryman is another word than that.", extracted_key="word")
    queue(tenant, ben, "Anna was paid a lot this year.", extracted_key="her Salary")
    assert drain() == NOTHING | {
        "scanned": 7,
        "created": 2,
        "unchecked": 2,
        "discarded_low_signal": 2,
        "discarded_transient": 1,
        "discarded_policy": 2,
    }
    assert decisions() == [
        "discarded_low_signal",
        "created",
        "discarded_transient",
        "discarded_policy",
        "discarded_low_signal",
        "created",
        "discarded_policy",
    ]
    kept = rows_of("select decision, length(content_ciphertext) > 0 as kept from memory.memory_candidates")
    assert {row["decision"] for row in kept if not row["kept"]} == {"discarded_policy"}


def test_what_one_tenant_denies_another_may_have() -> None:
    strict, lax = add_tenant(deny_words=["tea"]), add_tenant()
    for tenant in (strict, lax):
        queue(tenant, add_user(tenant), TEA.replace("green ", ""))
    drain()
    assert decisions() == ["discarded_policy", "created"]


@pytest.mark.parametrize("change", ["", ", data_key = null"], ids=["key kept", "key erased"])
@pytest.mark.parametrize("table", ["users", "tenants"])
def test_nothing_is_remembered_for_whom_was_deleted(table: str, change: str, tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    with transaction() as connection:
        connection.execute(text(f"update memory.users set email = email {change}"))
        connection.execute(text(f"update memory.{table} set deleted_at = now()"))
    assert drain() == NOTHING | {"scanned": 1, "discarded_policy": 1}


def test_the_text_that_its_key_has_already_is_redundant_and_a_new_one_supersedes(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA, extracted_key="drink")
    queue(tenant, user, "Anna drinks coffee now and then.", extracted_key="drink")
    queue(tenant, user, "Anna has a sister in Lyon.", extracted_key="sister")
    queue(tenant, user, TEA, extracted_key="drink", project_id=user)
    spoil("project_id = null, source_input_hash = 'another'", 4)
    assert drain()["created"] == 4, "what was superseded may come true again"
    first, second, sister, third = memories("id, superseded_by, retention_status")
    assert (first["superseded_by"], second["superseded_by"], third["superseded_by"]) == (
        second["id"],
        third["id"],
        None,
    )
    assert sister["superseded_by"] is None
    spoil("decision = 'pending', memory_id = null", 4)
    assert drain() == NOTHING | {"scanned": 1, "discarded_redundant": 1}
    assert value_of("select memory_id from memory.memory_candidates order by id desc limit 1") == third["id"]
    assert len(memories()) == 4


def test_below_the_tenants_threshold_a_memory_is_gated() -> None:
    tenant = add_tenant(gating_threshold=0.6)
    user = add_user(tenant)
    queue(tenant, user, TEA, importance=0.59, extracted_key="a")
    queue(tenant, user, f"{TEA} Always.", importance=0.6, extracted_key="b")
    drain()
    assert [row["gated"] for row in memories("gated")] == [True, False]


def test_running_again_changes_nothing(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA, "Too short", "Anna is at the gym.")
    drain()
    before = (memories(), rows_of("select * from memory.memory_candidates order by id"))
    events = value_of("select count(*) from memory.memory_events")
    assert queue(tenant, user, TEA, "Too short", "Anna is at the gym.") == 0
    assert drain() == NOTHING
    assert (memories(), rows_of("select * from memory.memory_candidates order by id")) == before
    assert value_of("select count(*) from memory.memory_events") == events


def test_who_dies_in_a_batch_leaves_all_of_it_pending(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA, "Anna has a sister in Lyon.")
    with database.get_engine().connect() as connection:
        verdicts = promote(connection, queues.take(connection, Part(0, 10**9, 5, 100)), {}, datetime.now(UTC))
        assert [verdict.decision for verdict in verdicts] == ["created", "created"]
        connection.rollback()
    assert (decisions(), memories(), rows_of("select * from memory.memory_events")) == (["pending"] * 2, [], [])
    assert drain()["created"] == 2


def test_a_text_that_cannot_be_opened_harms_no_other(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, *(f"{TEA} {number}" for number in range(5)))
    spoil("content_ciphertext = '\\x0011'", 3)
    assert drain() == NOTHING | {"scanned": 5, "created": 4, "unchecked": 4, "errored": 1}
    assert decisions()[2] == "pending"
    (row,) = rows_of("select attempts, error, decided_at from memory.memory_candidates where decision = 'pending'")
    assert (row["attempts"], row["decided_at"]) == (1, None)
    assert "not in the format" in row["error"]


def test_a_candidate_that_postgres_refuses_harms_no_other(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, *(f"{TEA} {number}" for number in range(5)))
    endless = "".join(random.Random(7).choices(string.ascii_letters, k=2_670))
    spoil(f"extracted_key = '{endless}'", 3)  # no index of the memories takes it
    assert drain() == NOTHING | {"scanned": 5, "created": 4, "unchecked": 4, "errored": 1}
    (row,) = rows_of("select attempts, error from memory.memory_candidates where decision = 'pending'")
    assert row["attempts"] == 1
    assert "index row size" in row["error"]
    assert endless not in row["error"]


def test_poison_is_left_alone_after_some_runs_until_somebody_asks(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    whole = value_of("select content_ciphertext from memory.memory_candidates")
    spoil("content_ciphertext = ''", 1)
    number = value_of("select id from memory.memory_candidates")
    assert [drain()["errored"] for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    queue(tenant, user, "Anna has a sister in Lyon.", extracted_key="sister")
    assert drain() == NOTHING | {"scanned": 1, "created": 1, "unchecked": 1}
    promote_candidate(number)
    assert value_of("select attempts from memory.memory_candidates where id = :id", id=number) == 6
    sql = text("update memory.memory_candidates set content_ciphertext = :whole where id = :id")
    with transaction() as connection:
        connection.execute(sql, {"whole": whole, "id": number})
    promote_candidate(number)
    assert decisions() == ["created", "created"]
    run = Run(job="promote_candidate")
    enter_run(run)
    promote_candidate(number)
    assert (run.counts, len(memories())) == (NOTHING, 2)
    assert "not pending" in run.notes["skipped"]


def test_candidates_that_another_worker_has_are_skipped(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, *(f"{TEA} {number}" for number in range(4)))
    with transaction() as connection:
        taken = queues.take(connection, Part(0, 10**9, 5, 2))
        thread = threading.Thread(target=lambda: counts.append(drain()))
        counts: list[dict[str, int]] = []
        thread.start()
        thread.join(10)
        assert [candidate.id for candidate in taken] == [1, 2]
        assert decisions() == ["pending", "pending", "created", "created"]
    assert counts[0]["scanned"] == 2
    assert drain()["created"] == 2


def test_two_workers_at_once_decide_each_candidate_once(monkeypatch: pytest.MonkeyPatch, tenant: UUID) -> None:
    """Both take small batches of the same users' candidates, whose keys are few: what is current is one of each."""
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_BATCH", "3")
    get_memory_settings.cache_clear()
    users = [add_user(tenant) for _ in range(2)]
    for number in range(15):
        for user in users:
            queue(tenant, user, f"{TEA} {number} {user}", extracted_key=f"key {number % 2}")
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(drain) for _ in range(2))
        counts = [first.result(), second.result()]
    assert sum(each["scanned"] for each in counts) == 30
    assert sum(each["created"] for each in counts) == 30
    assert decisions() == ["created"] * 30
    current = (
        "select user_id, extracted_key, count(*) as n from memory.memories where superseded_by is null group by 1, 2"
    )
    assert [row["n"] for row in rows_of(current)] == [1, 1, 1, 1]


def test_a_cancelled_run_takes_no_further_batch(tenant: UUID, user: UUID) -> None:
    queue(tenant, user, TEA)
    run = Run(job="process_capture_queue_job")
    run.request_cancel()
    enter_run(run)
    process_capture_queue_job()
    assert (run.counts["scanned"], decisions()) == (0, ["pending"])


def test_a_run_leaves_what_is_too_much_to_the_next(monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_LIMIT", "4")
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_BATCH", "2")
    get_memory_settings.cache_clear()
    queue(tenant, user, *(f"{TEA} {number}" for number in range(7)))
    assert [drain()["scanned"] for _ in range(3)] == [4, 3, 0]


def test_without_a_key_for_texts_the_run_fails_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    queue(tenant, user, TEA)
    monkeypatch.delenv("CALLBOARD_SECRET_KEYS")
    get_settings.cache_clear()
    with pytest.raises(PermanentError, match="CALLBOARD_SECRET_KEYS"):
        drain()
    assert rows_of("select decision, attempts from memory.memory_candidates") == [
        {"decision": "pending", "attempts": 0}
    ]


def test_a_user_whose_key_is_damaged_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch, tenant: UUID, user: UUID
) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_CAPTURE_BATCH", "1")
    get_memory_settings.cache_clear()
    queue(tenant, user, TEA)
    with transaction() as connection:
        connection.execute(text("update memory.users set data_key = 'damaged'"))
    queue(tenant, add_user(tenant), TEA)
    with pytest.raises(PermanentError):
        drain()
    assert decisions() == ["pending", "created"]
