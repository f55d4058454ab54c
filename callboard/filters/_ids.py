"""The kinds of fields that hold ids: of rows, and correlation ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, and_, literal_column, or_

from callboard.filters import _values
from callboard.filters._kinds import Holds, Text, no_comparison, plain
from callboard.filters._syntax import Item
from callboard.filters._values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.filters._kinds import Condition, Now


@dataclass(frozen=True)
class Id:
    """A UUID, or its first characters."""

    column: ColumnElement[Any]
    name: str = "id"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        no_comparison(op, "an id")
        for item in items:
            _values.id_bounds(plain(item))
        return tuple(Item((plain(item).lower(),)) for item in items)

    def where(self, _op: str, items: Sequence[Item], _now: Now) -> Condition:
        return or_(*(self._one(*_values.id_bounds(plain(item))) for item in items))

    def _one(self, low: str, high: str) -> Condition:
        if low == high:
            return self.column == UUID(low)
        return self.column.between(UUID(low), UUID(high))


@dataclass(frozen=True)
class Correlation:
    """A correlation id of runs; one that a run made of its own id is found by that."""

    column: ColumnElement[Any]
    id: ColumnElement[Any]
    name: str = "text"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return Text(self.column).read(op, items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        # Word for word as the partial index has it.
        caused = literal_column("runs.correlation_id <> ('job-' || runs.id::text)", Boolean())
        found = [and_(Text(self.column).where(op, [item], now), caused) for item in items if item.plain is not None]
        found += [and_(self.id == UUID(own), self.column == f"job-{own}") for own in map(own_id, items) if own]
        wild = [item for item in items if item.plain is None]
        return or_(*found, *([Text(self.column).where(op, wild, now)] if wild else []))


def own_id(item: Item) -> str:
    """The run whose own id this correlation id would be, as it is written there; empty if none."""
    text = (item.plain or "").removeprefix("job-")
    try:
        return text if text != item.plain and str(UUID(text)) == text else ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class JobOrId:
    """What runs are looked for by: text within the name of the job, or the beginning of the id."""

    job: ColumnElement[Any]
    id: ColumnElement[Any]
    name: str = "text within"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return Holds((self.job,)).read(op, items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        ids = [item for item in items if begins_an_id(item)]
        named = Holds((self.job,)).where(op, items, now)
        return or_(named, Id(self.id).where(op, ids, now)) if ids else named


def begins_an_id(item: Item) -> bool:
    """Whether a run's id might begin so."""
    try:
        _values.id_bounds(plain(item))
    except Unreadable:
        return False
    return True
