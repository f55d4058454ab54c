"""Writers of one user's memories wait for each other, whatever order they would write in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy import Connection

# Not "for update": rows that refer to the user are written at the same time.
_HOLD = text("select id from memory.users where id = any(:ids) order by id for no key update").bindparams(
    bindparam("ids", type_=ARRAY(Uuid))
)


def hold_users(connection: Connection, user_ids: Iterable[UUID]) -> None:
    """Have these users to oneself until the caller's transaction ends.

    Two writers of the same key would otherwise both find the same memory to supersede, or each what the other adds.
    """
    connection.execute(_HOLD, {"ids": sorted(set(user_ids))})
