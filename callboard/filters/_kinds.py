"""The kinds of fields that hold texts: how their values are read, and what they ask of the ledger.

`read` gives the values back as they are written canonically, or raises Unreadable; `where` gives the condition. A
condition may be null in SQL, which a filter takes as "does not fit".
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import ColumnElement, bindparam, literal, or_

from callboard.filters._syntax import Item
from callboard.filters._values import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    Now = ColumnElement[datetime]
    Condition = ColumnElement[bool]


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
