"""The capture queue: candidates that nobody has decided on yet, and what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from actors.memory.capture.decisions import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

_COLUMNS = """
select c.id, c.tenant_id, c.user_id, c.project_id, c.environment, c.source_type, c.category, c.content_ciphertext,
       c.extracted_key, c.importance, u.deleted_at is not null or t.deleted_at is not null as owner_is_gone
from memory.memory_candidates c join memory.users u on u.id = c.user_id join memory.tenants t on t.id = c.tenant_id
where c.decision = 'pending'
"""
_EXTENT = text("""
select count(*) as total, coalesce(max(id), 0) as last
from memory.memory_candidates where decision = 'pending' and attempts < :attempts
""")
_BATCH = f"{_COLUMNS} and c.id > :after and c.id <= :last and c.attempts < :attempts order by c.id limit :most"
_READ = text(_BATCH)
_TAKE = text(f"{_BATCH} for update of c skip locked")
_TAKE_ONE = text(f"{_COLUMNS} and c.id = :id for update of c skip locked")
_DENY_WORDS = text("select tenant_id, deny_words from memory.tenant_settings where tenant_id = any(:ids)")

# What a tenant denies is not kept either. A hash of it stays, so that it does not come again.
_MARK = text("""
update memory.memory_candidates c
set decision = v.decision, memory_id = v.memory_id, replaced_memory_id = v.replaced, error = v.error,
    attempts = c.attempts + case when v.error is null then 0 else 1 end,
    decided_at = case when v.decision = 'pending' then null else cast(:now as timestamptz) end,
    content_ciphertext = case when v.decision = 'discarded_policy' then '' else c.content_ciphertext end
from unnest(cast(:ids as bigint[]), cast(:decisions as text[]), cast(:memory_ids as bigint[]), cast(:errors as text[]),
            cast(:replaced as bigint[])) as v(id, decision, memory_id, error, replaced)
where c.id = v.id and c.decision = 'pending'
""")


class Pending(NamedTuple):
    """A candidate; `owner_is_gone` if its user or tenant was deleted."""

    id: int
    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None
    environment: str
    source_type: str
    category: str
    content_ciphertext: bytes
    extracted_key: str | None
    importance: float
    owner_is_gone: bool


class Verdict(NamedTuple):
    """What becomes of a candidate; `memory_id` is its own or the one it repeats. With an error it stays pending.

    `replaced` is the memory that its own took the place of.
    """

    id: int
    decision: str
    memory_id: int | None = None
    error: str | None = None
    replaced: int | None = None


class Extent(NamedTuple):
    """How much is pending, and the last of it: what comes later is the next run's."""

    total: int
    last: int


class Part(NamedTuple):
    """The next `most` candidates above `after`, of those that failed fewer than `attempts` times."""

    after: int
    last: int
    attempts: int
    most: int


def extent(connection: Connection, attempts: int) -> Extent:
    """What a run has before it; a candidate that failed so often is left for `promote_candidate`."""
    return Extent(*connection.execute(_EXTENT, {"attempts": attempts}).one())


def read(connection: Connection, part: Part) -> list[Pending]:
    """Look at candidates without taking them."""
    return [Pending(*row) for row in connection.execute(_READ, part._asdict())]


def take(connection: Connection, part: Part) -> list[Pending]:
    """Candidates that nobody else decides on until the caller's transaction ends; those of others are skipped."""
    return [Pending(*row) for row in connection.execute(_TAKE, part._asdict())]


def take_one(connection: Connection, candidate_id: int) -> list[Pending]:
    """The same for one; empty if another has it, or has decided."""
    return [Pending(*row) for row in connection.execute(_TAKE_ONE, {"id": candidate_id})]


def deny_words(connection: Connection, tenant_ids: Iterable[UUID]) -> dict[UUID, tuple[str, ...]]:
    """What these tenants want no memories of; a tenant without settings is left out."""
    rows = connection.execute(_DENY_WORDS, {"ids": list(set(tenant_ids))})
    return {tenant: tuple(words) for tenant, words in rows}


def mark(connection: Connection, verdicts: Sequence[Verdict], now: datetime) -> None:
    """Write down what was decided."""
    if verdicts:
        names = ("ids", "decisions", "memory_ids", "errors", "replaced")
        columns = dict(zip(names, map(list, zip(*verdicts, strict=True)), strict=True))
        connection.execute(_MARK, {**columns, "now": now})


def failed(candidate_id: int, error: str) -> Verdict:
    """It could not be decided; after some attempts no run takes it up any more."""
    return Verdict(candidate_id, PENDING, None, error)
