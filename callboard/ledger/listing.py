"""Single runs, for people; lists of them are `pages`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from callboard.errors import NotFound
from callboard.ledger import tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

_RUNS = tables.runs.c
# The payload may hold what the redacted arguments do not.
_SHOWN = [column for column in tables.runs.columns if column.name != "payload"]
_ID = re.compile(r"[0-9a-f-]{4,36}")
_LEAST_DIGITS, _DIGITS = 4, 32

_BY_PREFIX = text("select id, created_at from board.runs where id between :low and :high limit 2")


def run(connection: Connection, id_or_prefix: str) -> RowMapping:
    """The run of that id, or of the only id that begins so (4 characters or more).

    Raises:
        NotFound: There is none, or more than one.
    """
    row_id, created_at = _resolve(connection, id_or_prefix.strip().lower())
    query = select(*_SHOWN).where(_RUNS.id == row_id, _RUNS.created_at == created_at)
    return connection.execute(query).mappings().one()


def _resolve(connection: Connection, prefix: str) -> tuple[UUID, datetime]:
    digits = prefix.replace("-", "")
    if not _ID.fullmatch(prefix) or not _LEAST_DIGITS <= len(digits) <= _DIGITS:
        raise NotFound(
            f"{prefix!r} is no run id; it is a UUID or its first 4 or more characters, see `callboard runs`."
        )
    bounds = {"low": digits.ljust(_DIGITS, "0"), "high": digits.ljust(_DIGITS, "f")}
    found = connection.execute(_BY_PREFIX, bounds).all()
    if len(found) != 1:
        told = "no run" if not found else "more than one run"
        raise NotFound(f"The id {prefix!r} fits {told}; `callboard runs` lists them.")
    return found[0].id, found[0].created_at


def children(connection: Connection, run_id: UUID, *, limit: int = 100) -> Sequence[RowMapping]:
    """Runs that this run caused directly, oldest first."""
    query = select(*_SHOWN).where(_RUNS.parent_id == run_id).order_by(_RUNS.created_at).limit(limit)
    return connection.execute(query).mappings().all()
