"""The kinds of fields that are compared: numbers, ages, durations and moments."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, or_

from callboard.filters import _values
from callboard.filters._kinds import no_comparison, plain
from callboard.filters._syntax import Item
from callboard.filters._values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from callboard.filters._kinds import Condition, Now

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "": operator.eq,
}
#: The comparison that says the same of an age as this one says of the moment that it is counted from.
_MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
BIGINT = 2**63 - 1
SMALLINT = 2**15 - 1


@dataclass(frozen=True)
class Number:
    """A whole number that is not negative; `value` makes what the column is compared with of it."""

    column: ColumnElement[Any]
    most: int = BIGINT
    name: str = "number"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return tuple(Item((str(self._read(item)),)) for item in alone(op, items))

    def _read(self, item: Item) -> int:
        return _values.number(plain(item), self.most)

    def where(self, op: str, items: Sequence[Item], _now: Now) -> Condition:
        numbers = [bindparam(None, self._read(item), BigInteger, unique=True) for item in items]
        return or_(*(COMPARE[op](self.column, number) for number in numbers))


def alone(op: str, items: Sequence[Item]) -> Sequence[Item]:
    """The values, of which a comparison takes only one."""
    if op and len(items) > 1:
        raise Unreadable(f"{op} takes one value; write a word for each")
    return items


@dataclass(frozen=True)
class Age:
    """How long ago a moment was: `>2h` is older than two hours."""

    column: ColumnElement[Any]
    name: str = "age"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return _spans(op, items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        condition: Condition = COMPARE[_MIRRORED[op]](self.column, now - _span(items))
        return condition


@dataclass(frozen=True)
class Duration:
    """A length of time; `seconds` is the column's, or what is counted so far."""

    seconds: Callable[[Now], ColumnElement[Any]]
    name: str = "duration"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return _spans(op, items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        condition: Condition = COMPARE[op](self.seconds(now), _span(items).total_seconds())
        return condition


def _span(items: Sequence[Item]) -> timedelta:
    return _values.age(plain(items[0]))


def _spans(op: str, items: Sequence[Item]) -> tuple[Item, ...]:
    for item in alone(op, items):
        text = plain(item)
        _values.age(text)
        if not op:
            raise Unreadable("say whether more or less is meant", (f">{text}", f"<{text}"))
    return tuple(Item((plain(item).lower(),)) for item in items)


@dataclass(frozen=True)
class When:
    """A moment compared with another, or a whole day."""

    column: ColumnElement[Any]
    name: str = "moment"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        for item in alone(op, items):
            text = plain(item)
            if _values.moment(text).until is None and not op:
                raise Unreadable("say whether before or after is meant", (f">{text}", f"<{text}"))
        return tuple(items)

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition:
        return or_(*(self._one(op, _values.moment(plain(item)), now) for item in items))

    def _one(self, op: str, moment: _values.Moment, now: Now) -> Condition:
        start = moment.at if moment.ago is None else now - moment.ago
        if moment.until is None:
            condition: Condition = COMPARE[op](self.column, start)
            return condition
        bounds: dict[str, Callable[[], Condition]] = {
            "": lambda: and_(self.column >= start, self.column < moment.until),
            ">": lambda: self.column >= moment.until,
            ">=": lambda: self.column >= start,
            "<": lambda: self.column < start,
            "<=": lambda: self.column < moment.until,
        }
        return bounds[op]()


@dataclass(frozen=True)
class Bound:
    """One end of a range of time: `since` a moment on (">="), or `until` before it ("<")."""

    column: ColumnElement[Any]
    op: str
    name: str = "moment"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        no_comparison(op, "a word that says it already")
        if len(items) > 1:
            raise Unreadable("one moment is meant")
        _values.moment(plain(items[0]))
        return tuple(items)

    def where(self, _op: str, items: Sequence[Item], now: Now) -> Condition:
        return When(self.column).where(self.op, items, now)
