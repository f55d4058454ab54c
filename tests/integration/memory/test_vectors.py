"""Vectors in pgvector: stored for the text they were made of, found within one scope."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from actors.memory.settings import get_memory_settings
from actors.memory.vectors import Scope, VectorRow, nearest, store
from callboard import transaction
from sandbox.vectors import embed
from tests.integration.memory.kit import NOW, add_memories, add_tenant, add_user, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("memory_database")

WORDS = ["green tea in the morning", "black coffee at noon", "the train to Berlin"]


def vector_of(words: str) -> array[float]:
    return array("f", embed(words, 64))


def keep(ids: Sequence[int], texts: Sequence[str]) -> int:
    rows = rows_of("select id, content_hash from memory.memories where id = any(:ids)", ids=list(ids))
    hashes = {row["id"]: row["content_hash"] for row in rows}
    with transaction() as connection:
        pairs = zip(ids, texts, strict=True)
        return store(connection, [VectorRow(one, hashes[one], vector_of(words)) for one, words in pairs])


def find(scope: Scope, words: str, limit: int = 10) -> list[tuple[int, float]]:
    with transaction() as connection:
        return nearest(connection, scope, vector_of(words), limit)


@pytest.fixture
def user() -> UUID:
    return add_user(add_tenant())


def memories_of(user: UUID, texts: Sequence[str], **columns: object) -> list[int]:
    (row,) = rows_of("select tenant_id from memory.users where id = :user", user=user)
    ids = add_memories(row["tenant_id"], user, texts, **columns)
    keep(ids, texts)
    return ids


def test_the_nearest_come_first_with_their_cosine(user: UUID) -> None:
    tea, coffee, train = memories_of(user, WORDS)
    found = find(Scope(user), "green tea in the evening")
    assert found[0][0] == tea
    assert {one for one, _ in found} == {tea, coffee, train}
    assert find(Scope(user), WORDS[0], 1) == [(tea, pytest.approx(1, abs=1e-3))]


def test_a_scope_is_a_user_a_project_and_an_environment(user: UUID) -> None:
    project = uuid4()
    (mine,) = memories_of(user, ["tea"])
    (of_project,) = memories_of(user, ["tea"], project_id=project)
    (of_staging,) = memories_of(user, ["tea"], environment="staging")
    memories_of(add_user(add_tenant()), ["tea"])
    for scope, expected in (
        (Scope(user), mine),
        (Scope(user, project), of_project),
        (Scope(user, None, "staging"), of_staging),
    ):
        assert [one for one, _ in find(scope, "tea")] == [expected]
    assert find(Scope(uuid4()), "tea") == []


def test_what_is_no_longer_current_is_not_found(user: UUID) -> None:
    memories_of(user, ["tea"], retention_status="archived")
    memories_of(user, ["tea"], superseded_by=1)
    memories_of(user, ["tea"], expires_at=NOW.replace(year=2020))
    (there,) = memories_of(user, ["tea"])
    assert [one for one, _ in find(Scope(user), "tea")] == [there]


def test_a_vector_of_an_old_text_a_gated_or_a_purged_memory_is_not_kept(user: UUID) -> None:
    (tenant,) = rows_of("select tenant_id from memory.users where id = :user", user=user)
    (one,) = add_memories(tenant["tenant_id"], user, ["tea"])
    (gated,) = add_memories(tenant["tenant_id"], user, ["tea"], gated=True)
    (pending,) = add_memories(tenant["tenant_id"], user, ["tea"], retention_status="hard_delete_pending")
    with transaction() as connection:
        assert store(connection, [VectorRow(one, "another", vector_of("tea"))]) == 0
        assert store(connection, [VectorRow(10**9, "another", vector_of("tea"))]) == 0
    assert keep([gated, pending], ["tea", "tea"]) == 0


def test_storing_twice_changes_nothing(user: UUID) -> None:
    ids = memories_of(user, WORDS)
    before = rows_of("select * from memory.embeddings order by memory_id")
    assert keep(ids, WORDS) == 0
    assert rows_of("select * from memory.embeddings order by memory_id") == before


def test_vectors_of_another_model_or_length_are_not_compared(user: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = memories_of(user, ["tea"])
    monkeypatch.setenv("CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS", "32")
    get_memory_settings.cache_clear()
    with transaction() as connection:
        assert nearest(connection, Scope(user), embed("tea", 32), 5) == []
    monkeypatch.delenv("CALLBOARD_MEMORY_EMBEDDING_DIMENSIONS")
    get_memory_settings.cache_clear()
    assert [one for one, _ in find(Scope(user), "tea")] == [old]
