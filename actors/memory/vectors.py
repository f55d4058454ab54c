"""Vectors of memories in pgvector: half precision, and an exact search within one user's scope.

Why so: docs/decisions/0011-vectors.md. A vector is only compared with those of the same model and length; where the
settings change these, `embedding_refresh` makes all of them anew, and until then what is old is not found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from actors.memory.settings import get_memory_settings

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from actors.memory.settings import MemorySettings

# A memory that was purged, gated or changed in the meantime gets no vector: the one at hand is of another text.
_STORE = text("""
insert into memory.embeddings as e (memory_id, content_hash, model, embedding)
select m.id, n.content_hash, n.model, cast(n.embedding as public.halfvec)
from unnest(cast(:ids as bigint[]), cast(:hashes as text[]), cast(:models as text[]), cast(:vectors as text[]))
     as n(id, content_hash, model, embedding)
join memory.memories m on m.id = n.id and m.content_hash = n.content_hash
where m.retention_status in ('active', 'archived') and not m.gated
order by m.id for key share of m
on conflict (memory_id) do update
set content_hash = excluded.content_hash, model = excluded.model, embedding = excluded.embedding, embedded_at = now()
where (e.content_hash, e.model) is distinct from (excluded.content_hash, excluded.model)
""")

# The distance is a column of the inner query, since otherwise it would be computed twice for every row. Of "is not
# distinct from" the planner thinks that it leaves next to nothing, hence the longer way to ask for the project.
_NEAREST = text("""
select id, 1 - distance as cosine from (
    select m.id, e.embedding operator(public.<=>) cast(:vector as public.halfvec) as distance
    from memory.memories m join memory.embeddings e on e.memory_id = m.id
    where m.user_id = :user_id and m.environment = :environment
      and (m.project_id = cast(:project_id as uuid) or (cast(:project_id as uuid) is null and m.project_id is null))
      and m.retention_status = 'active' and m.superseded_by is null and (m.expires_at is null or m.expires_at > now())
      and e.model = :model
    order by distance, m.id limit :limit
) nearest order by distance, id
""")


class Scope(NamedTuple):
    """Whose memories are searched; without a project: those that belong to none."""

    user_id: UUID
    project_id: UUID | None = None
    environment: str = "production"


class VectorRow(NamedTuple):
    """The vector of a memory's text as it was when it was embedded."""

    memory_id: int
    content_hash: str
    vector: array[float]


def model_name(settings: MemorySettings) -> str:
    """What the column `model` holds: the model and its length, since a change of either makes vectors incomparable."""
    return f"{settings.embedding_model}/{settings.embedding_dimensions}"


def store(connection: Connection, rows: Sequence[VectorRow]) -> int:
    """Keep vectors, each instead of its memory's old one; how many were written.

    Left out are those of memories that are gone, gated or have another text by now, and those that are there already.
    """
    if not rows:
        return 0
    given = {
        "ids": [row.memory_id for row in rows],
        "hashes": [row.content_hash for row in rows],
        "models": [model_name(get_memory_settings())] * len(rows),
        "vectors": [_literal(row.vector) for row in rows],
    }
    return connection.execute(_STORE, given).rowcount


def nearest(connection: Connection, scope: Scope, vector: Sequence[float], limit: int) -> list[tuple[int, float]]:
    """The active memories of a scope that lie nearest, with the cosine of the angle between: from -1 to 1, best first.

    Halves of floats have three digits: two texts that are the same have a cosine of 1 within 0.001.
    """
    given = {**scope._asdict(), "vector": _literal(vector), "model": model_name(get_memory_settings()), "limit": limit}
    return [(int(row.id), float(row.cosine)) for row in connection.execute(_NEAREST, given)]


def _literal(vector: Sequence[float]) -> str:
    """As pgvector reads it, with the digits that a half can hold and two more."""
    return f"[{','.join([f'{value:.5g}' for value in vector])}]"
