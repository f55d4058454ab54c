"""Queries on `board.dead_letters`: find them, and settle each at most once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from callboard.errors import NotFound
from callboard.ledger import tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection, RowMapping

_LETTERS = tables.dead_letters.c
_SHOWN = [column for column in tables.dead_letters.columns if column.name != "payload"]

# The compare-and-set that lets one operator of several win.
_SETTLE = text("""
update board.dead_letters
set state = :state, settled_at = now(), settled_by = :by, replay_run_id = :run_id
where id = :id and state = 'open' returning id
""")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which dead letters are meant: those that fit all that is given. `error` is found in its type or its text."""

    ids: tuple[int, ...] = ()
    job: str | None = None
    error: str | None = None
    kind: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    state: str | None = "open"

    def where(self) -> list[ColumnElement[bool]]:
        """The conditions, for a query on `tables.dead_letters`."""
        equal = {"job": self.job, "kind": self.kind, "state": self.state}
        found: list[ColumnElement[bool]] = [
            _LETTERS[name] == value for name, value in equal.items() if value is not None
        ]
        if self.ids:
            found.append(_LETTERS.id.in_(self.ids))
        if self.error is not None:
            both = _LETTERS.error_type + ": " + _LETTERS.error
            found.append(both.icontains(self.error, autoescape=True))
        if self.older_than is not None:
            found.append(_LETTERS.created_at < func.now() - self.older_than)
        if self.newer_than is not None:
            found.append(_LETTERS.created_at >= func.now() - self.newer_than)
        return found


def listing(connection: Connection, chosen: Filter, *, limit: int = 50) -> Sequence[RowMapping]:
    """The letters that fit, newest first, without their payloads."""
    query = select(*_SHOWN).where(*chosen.where()).order_by(_LETTERS.id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def ids(connection: Connection, chosen: Filter) -> list[int]:
    """The ids of all letters that fit, oldest first."""
    return list(connection.execute(select(_LETTERS.id).where(*chosen.where()).order_by(_LETTERS.id)).scalars())


def get(connection: Connection, letter_id: int) -> RowMapping:
    """One letter, payload and all.

    Raises:
        NotFound: There is none of that id.
    """
    row = connection.execute(select(tables.dead_letters).where(_LETTERS.id == letter_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No dead letter has the id {letter_id}; `callboard dead-letters list` shows them.")
    return row


def settle(connection: Connection, letter_id: int, state: str, *, by: str, run_id: UUID | None = None) -> bool:
    """Mark an open letter as replayed or discarded; False if it was not open any more."""
    given = {"id": letter_id, "state": state, "by": by, "run_id": run_id}
    return connection.execute(_SETTLE, given).one_or_none() is not None
