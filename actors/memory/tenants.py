"""Tenants, as operators name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping

_NAMED = text("""
select id, name from memory.tenants where deleted_at is null and (id::text = lower(:word) or name = :word) order by id
""")


def named(connection: Connection, word: str) -> Sequence[RowMapping]:
    """Tenants that a word names, be it an id or a name."""
    return connection.execute(_NAMED, {"word": word}).mappings().all()
