"""Texts that have no vector, or one of an older text or another model, and their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from actors.memory.texts import Keyring, Unreadable
from actors.memory.vectors import VectorRow, model_name, store
from callboard import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Connection, Row

    from actors.memory.clients.model import Model
    from actors.memory.settings import MemorySettings

_LACKING = """
select r.id, r.tenant_id, r.user_id, r.text_ciphertext, r.content_hash
from memory.memories r left join memory.embeddings e
  on e.memory_id = r.id and e.content_hash = r.content_hash and e.model = :model
where e.memory_id is null and r.retention_status in ('active', 'archived') and not r.gated
"""
_ONE = text(f"{_LACKING} and r.id = :id")
_STRETCH = text(f"{_LACKING} and r.id > :after and r.id <= :last order by r.id")


class Lacking(NamedTuple):
    """A memory without its vector, its text in the open."""

    memory_id: int
    tenant_id: UUID
    content_hash: str
    text: str


def lacking_one(connection: Connection, memory_id: int, settings: MemorySettings) -> list[Lacking]:
    """The memory, if it should have a vector that it has not; raises Unreadable if its text cannot be read."""
    rows = connection.execute(_ONE, {"id": memory_id, "model": model_name(settings)}).all()
    keyring = Keyring.of(connection, {row.user_id for row in rows})
    return [_lacking(row, keyring, settings) for row in rows]


def lacking_between(connection: Connection, after: int, last: int, settings: MemorySettings) -> list[Lacking]:
    """All such memories with ids above `after`, up to `last`; what cannot be read is left out."""
    given = {"after": after, "last": last, "model": model_name(settings)}
    rows = connection.execute(_STRETCH, given).all()
    keyring = Keyring.of(connection, {row.user_id for row in rows})
    found = []
    for row in rows:
        try:
            found.append(_lacking(row, keyring, settings))
        except Unreadable:
            continue
    return found


def embed(wanted: Sequence[Lacking], model: Model) -> int:
    """Make and keep the vectors of memories of one tenant; how many were written.

    Raises:
        TransientError, PermanentError, AuthenticationError: See clients/model.py; nothing was written.
    """
    if not wanted:
        return 0
    vectors = model.embed([each.text for each in wanted], tenant_id=wanted[0].tenant_id)
    rows = [VectorRow(each.memory_id, each.content_hash, vector) for each, vector in zip(wanted, vectors, strict=True)]
    with transaction() as connection:
        return store(connection, rows)


def _lacking(row: Row[Any], keyring: Keyring, settings: MemorySettings) -> Lacking:
    words = keyring.decrypt(row.user_id, bytes(row.text_ciphertext))
    return Lacking(row.id, row.tenant_id, row.content_hash, words[: settings.embed_longest] or " ")
