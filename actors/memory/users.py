"""Users by name, and held: writers of one user's memories wait for each other, in whatever order they would write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

# Not "for update": rows that refer to the user are written at the same time.
_HOLD = text("select id from memory.users where id = any(:ids) order by id for no key update").bindparams(
    bindparam("ids", type_=ARRAY(Uuid))
)


_NAMED = text("""
select id, email from memory.users
where tenant_id = :tenant and deleted_at is null and lower(:word) in (id::text, lower(email)) order by id
""")


def named(connection: Connection, tenant: UUID, word: str) -> Sequence[RowMapping]:
    """Users of a tenant that a word names, be it an id or an address."""
    return connection.execute(_NAMED, {"tenant": tenant, "word": word}).mappings().all()


def hold_users(connection: Connection, user_ids: Iterable[UUID]) -> None:
    """Have these users to oneself until the caller's transaction ends.

    Two writers of the same key would otherwise both find the same memory to supersede, or each what the other adds.
    """
    connection.execute(_HOLD, {"ids": sorted(set(user_ids))})
