"""Vectors for memories: one asked for, the new ones every few minutes, all of them once a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.memory.embedding import embedding_refresh, refresh_embeddings
from actors.memory.settings import get_memory_settings
from callboard import BreakerOpen, TransientError, transaction
from callboard.ledger.database import get_engine
from callboard.run import Run, enter_run
from sandbox.openai import QUOTA
from tests.integration.memory.kit import add_memories, add_tenant, add_user, rows_of, value_of

if TYPE_CHECKING:
    from uuid import UUID

    from sandbox.openai import OpenAIStandIn

pytestmark = pytest.mark.usefixtures("openai")


def run(*, a_day_later: bool = False) -> dict[str, int]:
    if a_day_later:
        change("update memory.watermarks set updated_at = updated_at - interval '25 hours'")
    current = Run(job="refresh_embeddings")
    enter_run(current)
    try:
        refresh_embeddings()
    finally:
        enter_run(None)
    return current.counts


def counts(scanned: int, embedded: int, *, failed: int = 0, budget_skipped: int = 0) -> dict[str, int]:
    return {"scanned": scanned, "embedded": embedded, "failed": failed, "budget_skipped": budget_skipped}


def change(sql: str, **given: object) -> None:
    with transaction() as connection:
        connection.exec_driver_sql(sql.format(**given))


def embedded() -> list[int]:
    return [row["memory_id"] for row in rows_of("select memory_id from memory.embeddings order by 1")]


@pytest.fixture
def tenant() -> UUID:
    return add_tenant()


@pytest.fixture
def user(tenant: UUID) -> UUID:
    return add_user(tenant)


def test_one_memory_is_embedded_once_and_again_when_its_text_changes(
    openai: OpenAIStandIn, callboard_run: Run, tenant: UUID, user: UUID
) -> None:
    one, other = add_memories(tenant, user, ["tea", "coffee"])
    embedding_refresh(one)
    embedding_refresh(one)
    embedding_refresh(10**9)
    assert callboard_run.counts == {"embedded": 1, "skipped_unchanged": 2}
    assert len(openai.requests) == 1
    change(
        "update memory.memories m set text_ciphertext = o.text_ciphertext, content_hash = o.content_hash "
        "from memory.memories o where m.id = {one} and o.id = {other}",
        one=one,
        other=other,
    )
    embedding_refresh(one)
    assert callboard_run.counts["embedded"] == 2
    same = (
        "select e.content_hash = m.content_hash from memory.embeddings e join memory.memories m on m.id = e.memory_id"
    )
    assert value_of(same) is True


def test_new_ones_are_found_and_old_ones_once_a_day(tenant: UUID, user: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_MEMORY_EMBED_PENDING_BATCH", "2")
    get_memory_settings.cache_clear()
    ids = add_memories(tenant, user, ["a", "b", "c", "d", "e"])
    add_memories(tenant, user, ["gated"], gated=True)
    add_memories(tenant, user, ["gone"], retention_status="soft_deleted")
    assert run() == counts(5, 5)
    assert run() == counts(0, 0)
    change("delete from memory.embeddings where memory_id = {one}", one=ids[1])
    new = add_memories(tenant, user, ["f"])
    assert run() == counts(1, 1)
    assert embedded() == sorted({*ids, *new} - {ids[1]})
    assert run(a_day_later=True) == counts(1, 1)
    assert embedded() == [*ids, *new]


def test_a_clock_set_back_an_hour_makes_a_whole_pass_and_no_standstill(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["a"])
    run()
    change("delete from memory.embeddings")
    change("update memory.watermarks set updated_at = updated_at + interval '1 hour'")
    assert run() == counts(1, 1)


def test_another_model_means_all_of_them_anew(
    tenant: UUID, user: UUID, monkeypatch: pytest.MonkeyPatch, openai: OpenAIStandIn
) -> None:
    add_memories(tenant, user, ["a", "b"])
    run()
    monkeypatch.setenv("CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS", "32")
    get_memory_settings.cache_clear()
    assert run() == counts(2, 2)
    assert rows_of("select distinct model from memory.embeddings") == [{"model": "text-embedding-3-small/32"}]
    assert len(openai.requests) == 2


def test_what_is_committed_late_is_not_missed(tenant: UUID, user: UUID) -> None:
    (first,) = add_memories(tenant, user, ["a"])
    with get_engine().connect() as slow:
        slow.exec_driver_sql(
            "insert into memory.memories (tenant_id, user_id, text_ciphertext, content_hash, extracted_type, "
            f"extracted_key) select tenant_id, user_id, text_ciphertext, 'late', 'FACT', 'late' "
            f"from memory.memories where id = {first}"
        )
        (later,) = add_memories(tenant, user, ["b"])
        assert run() == counts(1, 1)  # not the one behind the row that is not there yet
        slow.commit()
    assert run() == counts(2, 2)
    assert embedded() == [first, first + 1, later]


def test_a_refused_text_costs_nobody_else_the_vector(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    ids = add_memories(tenant, user, ["a", "b", "poison", "d", "e"])
    openai.fail(status=400, contains="poison", times=None)
    assert run() == counts(5, 4, failed=1)
    assert embedded() == [*ids[:2], *ids[3:]]


def test_an_outage_stops_the_run_and_the_next_one_goes_on(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["a", "b"])
    for fault in ({"status": 503}, {"reset": True}, {"malformed": True}, {"dimensions": 3}, {"status": 429}):
        openai.fail(**fault)
        with pytest.raises(Exception, match=r"language model|embedding model"):
            run()
    openai.fail(status=429, answer=QUOTA)
    with pytest.raises(Exception, match="quota"):
        run()
    assert embedded() == []
    assert run() == counts(2, 2)


def test_a_429_storm_opens_the_breaker(openai: OpenAIStandIn, tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["a"])
    openai.fail(status=429, times=None)
    for _ in range(5):
        with pytest.raises(TransientError, match="429"):
            run()
    with pytest.raises(BreakerOpen):
        run()
    assert len(openai.requests) == 5


def test_a_tenant_without_a_budget_waits_and_the_others_do_not(tenant: UUID, callboard_run: Run) -> None:
    poor = add_tenant(token_budget=0)
    (waiting,) = add_memories(poor, add_user(poor), ["a"])
    (there,) = add_memories(tenant, add_user(tenant), ["b"])
    assert run() == counts(2, 1, budget_skipped=1)
    assert embedded() == [there]
    enter_run(callboard_run)
    embedding_refresh(waiting)
    assert "token_budget" in callboard_run.notes["budget"]
    change("update memory.tenant_settings set token_budget = null")
    assert run(a_day_later=True) == counts(1, 1)


def test_an_empty_and_a_very_long_text_have_vectors_too(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["", "word " * 20_000])
    assert run() == counts(2, 2)


def test_a_text_that_cannot_be_read_is_left_out(tenant: UUID, user: UUID) -> None:
    add_memories(tenant, user, ["a"], text_ciphertext=b"broken")
    add_memories(tenant, user, ["b"])
    assert run() == counts(1, 1)
