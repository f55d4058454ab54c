"""The kinds of fields: how the values of each are read, and what they ask of the ledger.

`read` gives the values back as they are written canonically, or raises Unreadable; `where` gives the condition. A
condition may be null in SQL, which a filter takes as "does not fit".
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, ColumnElement, and_, bindparam, literal, literal_column, or_

from callboard.filters import _values
from callboard.filters._syntax import Item
from callboard.filters._values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    Now = ColumnElement[datetime]
    Condition = ColumnElement[bool]

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


class Kind(Protocol):
    """How the values of a field are read, and what they ask."""

    @property
    def name(self) -> str: ...  # for people

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]: ...

    def where(self, op: str, items: Sequence[Item], now: Now) -> Condition: ...


def plain(item: Item) -> str:
    """The text of a value that can have no wildcard."""
    if item.plain is None:
        raise Unreadable("a * can stand in texts only")
    return item.plain


def like(parts: Sequence[str]) -> str:
    """A LIKE pattern, with backslash as its escape: these texts, and anything between them."""
    return "%".join(part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for part in parts)


def contains(column: ColumnElement[Any], item: Item) -> Condition:
    """Whether a column holds a text, whatever its case.

    Of a search in ASCII only ASCII's letters are folded: that is several times faster than folding all of Unicode.
    """
    pattern = literal(like(("", *item.parts, "")))
    if all(part.isascii() for part in item.parts):
        return column.collate("C").ilike(pattern, escape="\\")
    return column.ilike(pattern, escape="\\")


def no_comparison(op: str, meant: str) -> None:
    """Refuse a comparison where there is no order."""
    if op:
        raise Unreadable(f"{op} does not go with {meant}")


@dataclass(frozen=True)
class Text:
    """A text that is equal, case and all, or fits the wildcards; `""` is none at all."""

    column: ColumnElement[Any]
    name: str = "text"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        no_comparison(op, "a text")
        return tuple(items)

    def where(self, _op: str, items: Sequence[Item], _now: Now) -> Condition:
        texts = [item.plain for item in items if item.plain is not None]
        found: list[Condition] = []
        if texts:
            found.append(self.column == texts[0] if len(texts) == 1 else self.column.in_(texts))
        if "" in texts:
            found.append(self.column.is_(None))
        found += [self.column.like(like(item.parts), escape="\\") for item in items if item.plain is None]
        return or_(*found)


@dataclass(frozen=True)
class Holds:
    """A text that stands anywhere in one of the columns, whatever its case."""

    columns: tuple[ColumnElement[Any], ...]
    name: str = "text within"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        no_comparison(op, "a text")
        return tuple(items)

    def where(self, _op: str, items: Sequence[Item], _now: Now) -> Condition:
        return or_(*(contains(column, item) for item in items for column in self.columns))


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


@dataclass(frozen=True)
class Choice:
    """One of a closed set; wildcards choose from it."""

    column: ColumnElement[Any]
    values: tuple[str, ...]
    name: str = "choice"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        no_comparison(op, "a choice")
        return tuple(self._read(Item(tuple(part.lower() for part in item.parts))) for item in items)

    def _read(self, item: Item) -> Item:
        if not any(item.matches(value) for value in self.values):
            near = get_close_matches(item.plain or "", self.values, 2)
            raise Unreadable(f"one of {', '.join(self.values)} is meant", tuple(near))
        return item

    def chosen(self, items: Sequence[Item]) -> tuple[str, ...]:
        """The values that are meant, in the order of the set."""
        return tuple(value for value in self.values if any(item.matches(value) for item in items))

    def where(self, _op: str, items: Sequence[Item], _now: Now) -> Condition:
        return among(self.column, self.chosen(items))


def among(column: ColumnElement[Any], values: Sequence[str]) -> Condition:
    """Whether a column holds one of these, written into the query as constants: partial indexes are found by them."""
    constants: list[ColumnElement[Any]] = [
        bindparam(None, value, literal_execute=True, unique=True) for value in values
    ]
    return column == constants[0] if len(constants) == 1 else column.in_(constants)


@dataclass(frozen=True)
class Flag:
    """Yes or no; `holds` is never null."""

    holds: Callable[[Now], Condition]
    name: str = "yes or no"

    def read(self, op: str, items: Sequence[Item]) -> tuple[Item, ...]:
        return Choice(literal(""), ("yes", "no")).read(op, items)

    def where(self, _op: str, items: Sequence[Item], now: Now) -> Condition:
        asked = Choice(literal(""), ("yes", "no")).chosen(items)
        both = {"yes": self.holds(now), "no": ~self.holds(now)}
        return or_(*(both[word] for word in asked))


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
