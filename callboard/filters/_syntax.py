r"""How a filter is written: words that stand apart, each `key:value`, or text to look for.

filter  = { word }                            all of them must fit
word    = ["-"] [key ":" [comparison]] items  "-": must not fit
items   = item { "," item }                   any of them
item    = { text | quoted text | "*" }        "*": any text, also none
quoted  = '"' ... '"'                         spaces, colons, commas and "*" as they are; \" and \\ inside
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from callboard.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 4_000
MOST_ITEMS = 200

_KEY = re.compile(r"([A-Za-z][\w-]*):", re.ASCII)
_COMPARISON = re.compile(r">=|<=|>|<")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r'[^\s",*]+')
_SPACE = re.compile(r"\s*")
# What would be read as something else if it stood bare.
_NEEDS_QUOTES = re.compile(r'[\s",*]|^[-<>=]')
_IMPOSSIBLE = re.compile("[\x00\ud800-\udfff]")


class Item(NamedTuple):
    """One value: the texts between its wildcards, in order; a single one is meant as it stands."""

    parts: tuple[str, ...]

    @property
    def plain(self) -> str | None:
        """The value, if it has no wildcard."""
        return self.parts[0] if len(self.parts) == 1 else None

    @property
    def text(self) -> str:
        """As it is written after a key."""
        if self.parts == ("",):
            return '""'
        return "*".join(map(_written, self.parts))

    def matches(self, text: str) -> bool:
        """Whether a text is this value, as Postgres would say of it with LIKE."""
        return re.fullmatch(".*".join(map(re.escape, self.parts)), text, re.DOTALL) is not None

    def stands_in(self, text: str) -> bool:
        """Whether a text holds this value somewhere, whatever its case; as `contains` in `_kinds` says of a column."""
        ascii_only = re.ASCII if all(part.isascii() for part in self.parts) else re.NOFLAG
        flags = re.DOTALL | re.IGNORECASE | ascii_only
        return re.search(".*".join(map(re.escape, self.parts)), text, flags) is not None


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a filter as it was written; `at` and `length` say where, in characters."""

    key: str
    op: str
    items: tuple[Item, ...]
    negated: bool
    at: int = field(default=0, compare=False)
    length: int = field(default=0, compare=False)


def refuse(text: str, at: int, length: int, message: str, instead: tuple[str, ...] = ()) -> NoReturn:
    """Say that a filter cannot be read, and where.

    Raises:
        FilterError: Always.
    """
    shown = text[at : at + length] or "the end"
    hint = f"; did you mean {' or '.join(instead)}?" if instead else ""
    told = f"{shown if shown == 'the end' else repr(shown)} at character {at + 1} of the filter: {message}{hint}"
    raise FilterError(told, text=text, at=at, length=length, instead=instead)


def words(text: str) -> Iterator[Word]:
    """The words of a filter, in their order.

    Raises:
        FilterError: It is not written as a filter is.
    """
    if len(text) > MOST_CHARACTERS:
        refuse(text[:40], 0, 40, f"the filter has {len(text)} characters, and {MOST_CHARACTERS} are the most")
    if (odd := _IMPOSSIBLE.search(text)) is not None:
        refuse(text, odd.start(), 1, "no text in the ledger holds this character")
    at = _after_space(text, 0)
    while at < len(text):
        word = _word(text, at)
        yield word
        at = _after_space(text, at + word.length)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _word(text: str, start: int) -> Word:
    negated = text[start] == "-"
    at = start + negated
    key = op = ""
    if (found := _KEY.match(text, at)) is not None:
        key, at = found[1].lower(), found.end()
        if (compared := _COMPARISON.match(text, at)) is not None:
            op, at = compared[0], compared.end()
    items, end = _items(text, start, at)
    return Word(key or "text", op, items, negated, start, end - start)


def _items(text: str, start: int, at: int) -> tuple[tuple[Item, ...], int]:
    found: list[Item] = []
    while True:
        item, end = _item(text, at)
        if end == at:
            refuse(text, start, max(at - start, 1), 'a value is missing here; write "" for none')
        found.append(item)
        if len(found) > MOST_ITEMS:
            refuse(text, at, end - at, f"more than {MOST_ITEMS} values stand in one word")
        if text[end : end + 1] != ",":
            return tuple(found), end
        at = end + 1


def _item(text: str, at: int) -> tuple[Item, int]:
    parts = [""]
    while at < len(text):
        if text[at] == "*":
            if len(parts) == 1 or parts[-1]:  # two in a row say no more than one
                parts.append("")
            at += 1
        elif text[at] == '"':
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                refuse(text, at, len(text) - at, "the quotes are not closed")
            parts[-1] += re.sub(r'\\(["\\])', r"\1", quoted[1])
            at = quoted.end()
        elif (bare := _BARE.match(text, at)) is not None:
            parts[-1] += bare[0]
            at = bare.end()
        else:
            break
    return Item(tuple(parts)), at


def _written(part: str) -> str:
    return quoted(part) if _NEEDS_QUOTES.search(part) else part


def quoted(part: str) -> str:
    """In quotes, whatever it holds."""
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def written(key: str, op: str, items: tuple[Item, ...], *, negated: bool) -> str:
    """The word that says this."""
    minus = "-" if negated else ""
    if key == "text":
        return minus + ",".join(_free(item) for item in items)
    return f"{minus}{key}:{op}{','.join(item.text for item in items)}"


def _free(item: Item) -> str:
    if item.parts == ("",):
        return '""'
    return "*".join(quoted(part) if ":" in part else _written(part) for part in item.parts)
