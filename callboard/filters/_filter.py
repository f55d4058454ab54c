"""A filter that was read: what it says, and what it asks of the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sqlalchemy import func, true

from callboard.filters._ids import begins_an_id
from callboard.filters._kinds import Choice, among
from callboard.filters._people import is_address
from callboard.filters._syntax import Item, Word, refuse, words, written
from callboard.filters._values import Unreadable
from callboard.filters.fields import DEFAULTS, FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import ColumnElement

    from callboard.filters._kinds import Now
    from callboard.filters.fields import Resource


class Term(NamedTuple):
    """One word of a filter, for people: a word without a key has the key `text`; `value` is as it is written."""

    key: str
    op: str
    value: str
    negated: bool


@dataclass(frozen=True)
class Filter:
    """Which rows of a resource are meant: those that fit every word. Made by `parse`; equal ones say the same.

    Attributes:
        resource: Whose rows.
        words: What it says, each once, in the order in which it was written.
    """

    resource: Resource
    words: tuple[Word, ...] = ()
    _texts: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        texts = tuple(written(word.key, word.op, word.items, negated=word.negated) for word in self.words)
        object.__setattr__(self, "_texts", texts)

    @property
    def text(self) -> str:
        """The filter as it is best written: read again, it is the same filter."""
        return " ".join(self._texts)

    def __str__(self) -> str:
        return self.text

    @property
    def terms(self) -> tuple[Term, ...]:
        """Its words, e.g. for chips; `without(term)` takes one away."""
        return tuple(self._term(word) for word in self.words)

    @staticmethod
    def _term(word: Word) -> Term:
        return Term(word.key, word.op, ",".join(item.text for item in word.items), word.negated)

    def and_(self, key: str, value: str, *, op: str = "", negated: bool = False, pattern: bool = False) -> Filter:
        """The same, and this as well: `and_("job", "sync")`.

        The value is meant literally, commas and stars too; with `pattern`, a star stands for any text.

        Raises:
            FilterError: The resource has no such key, or the value does not fit it.
        """
        item = Item(tuple(re.split(r"\*+", value)) if pattern else (value,))
        return parse(f"{self.text} {written(key, op, (item,), negated=negated)}".strip(), self.resource)

    def without(self, which: str | Term) -> Filter:
        """The same without that word, or without all words of a key."""
        kept = (word for word in self.words if which not in (word.key, self._term(word)))
        return Filter(self.resource, tuple(kept))

    def only(self, keys: Collection[str]) -> Filter:
        """Its words of these keys."""
        return Filter(self.resource, tuple(word for word in self.words if word.key in keys))

    def asked(self, key: str) -> tuple[Item, ...] | None:
        """The values of the only word of that key that says what must be, without comparing; None if there is none."""
        found = [word for word in self.words if word.key == key and not word.negated and not word.op]
        return found[0].items if len(found) == 1 else None

    def chosen(self, key: str) -> tuple[str, ...] | None:
        """Of a key with a closed set: the values that fit every word of it, the default too; None if none is said."""
        kind = FIELDS[self.resource][key].kind
        said = [word for word in self._all() if word.key == key]
        if not said or not isinstance(kind, Choice):
            return None
        both = [(word, kind.chosen(word.items)) for word in said]
        return tuple(one for one in kind.values if all((one in values) is not word.negated for word, values in both))

    def values(self, key: str) -> tuple[str, ...] | None:
        """The same, if none of them has a wildcard and none is empty: the rows can be found by them."""
        texts = [item.plain for item in self.asked(key) or ()]
        return tuple(text for text in texts if text) if texts and all(texts) else None

    def with_jobs(self, names: Collection[str]) -> Filter | None:
        """The same for the ledger in which only these jobs have runs, told by their names; None if no run can fit.

        Rows are found by the names of jobs, and by ids, but not by a part of a name.
        """
        words = [self._told_by_jobs(word, names) for word in self.words]
        if None in words:
            return None
        return Filter(self.resource, tuple(word for word in words if word is not None))

    def _told_by_jobs(self, word: Word, names: Collection[str]) -> Word | None:
        searched = word.key == "text" and self.resource == "runs"
        if word.negated or not (searched or word.key == "job") or "" in (item.plain for item in word.items):
            return word
        ids = tuple(item for item in word.items if searched and begins_an_id(item))
        fit = Item.stands_in if searched else Item.matches
        jobs = tuple(Item((name,)) for name in sorted(names) if any(fit(item, name) for item in word.items))
        if jobs:
            return word if ids else Word("job", "", jobs, negated=False)
        return Word("id", "", ids, negated=False) if ids else None

    def with_people(self, known: Callable[[str], Sequence[str]]) -> Filter:
        """The same with people told by what the rows have for them, by which an index finds them, not by address."""
        return Filter(self.resource, tuple(self._told_by_people(word, known) for word in self.words))

    @staticmethod
    def _told_by_people(word: Word, known: Callable[[str], Sequence[str]]) -> Word:
        if word.key != "who":
            return word
        told = [(item, known(item.plain) if item.plain and is_address(item.plain) else ()) for item in word.items]
        items = [Item((one,)) for _, found in told for one in found] + [item for item, found in told if not found]
        return replace(word, items=tuple(items))

    def where(self, now: Now | None = None) -> list[ColumnElement[bool]]:
        """Its conditions, for a query on the table of its resource.

        Args:
            now: The moment that ages are counted from; else Postgres' `now()`.
        """
        moment = func.now() if now is None else now
        return [self._condition(word, moment) for word in self._all()]

    def _all(self) -> tuple[Word, ...]:
        key, value = DEFAULTS.get(self.resource, ("", ""))
        said = not key or any(word.key == key for word in self.words)
        return self.words if said else (*self.words, Word(key, "", (Item((value,)),), negated=False))

    def _condition(self, word: Word, now: Now) -> ColumnElement[bool]:
        kind = FIELDS[self.resource][word.key].kind
        if not word.negated:
            return kind.where(word.op, word.items, now)
        if isinstance(kind, Choice) and not kind.column.nullable:
            others = [value for value in kind.values if value not in kind.chosen(word.items)]
            return among(kind.column, others) if others else ~true()
        return kind.where(word.op, word.items, now).is_not(true())


def parse(text: str, resource: Resource) -> Filter:
    """The filter that a text says; an empty one fits every row (of dead letters: those that are open).

    Raises:
        FilterError: It cannot be read; the message says where, and what could stand there.
    """
    found: dict[Word, None] = {_checked(text, word, resource): None for word in words(text)}
    return Filter(resource, tuple(found))


def _checked(text: str, word: Word, resource: Resource) -> Word:
    known = FIELDS[resource].get(word.key)
    if known is None:
        _unknown(text, word, resource)
    try:
        items = known.kind.read(word.op, word.items)
    except Unreadable as error:
        hints = tuple(written(word.key, "", (), negated=word.negated) + hint for hint in error.instead)
        refuse(text, word.at, word.length, str(error), hints)
    return Word(word.key, word.op, tuple(dict.fromkeys(items)), word.negated, word.at, word.length)


def _unknown(text: str, word: Word, resource: Resource) -> NoReturn:
    keys = [key for key in FIELDS[resource] if key != "text"]
    near = get_close_matches(word.key, keys, 2, 0.6)
    elsewhere = [other for other in FIELDS if word.key in FIELDS[other]]
    told = f"{resource.replace('_', ' ')} have no field {word.key}"
    told += f" ({', '.join(other.replace('_', ' ') for other in elsewhere)} do)" if elsewhere else ""
    told += "" if near else f"; they have {', '.join(keys)}; text with a colon in it goes in quotes"
    hints = tuple(f"{key}:" for key in near)
    refuse(text, word.at, word.length, told, hints)
