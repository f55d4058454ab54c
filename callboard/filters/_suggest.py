"""What could stand in place of the word that somebody is writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.filters._syntax import Item
from callboard.filters.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from callboard.filters.fields import Resource


def suggest(
    text: str, resource: Resource, known: Mapping[str, Collection[str]] | None = None, *, most: int = 20
) -> list[str]:
    """Words that go on as the last word of `text` does, e.g. `state:failed` for `job:sync sta`.

    Args:
        text: A filter that ends where the cursor is.
        resource: Whose rows.
        known: Values by key of what is not a closed set, e.g. the jobs that there are.
        most: How many at most.
    """
    word = "" if not text or text[-1].isspace() else text.rsplit(maxsplit=1)[-1]
    minus = "-" if word.startswith("-") else ""
    key, colon, value = word.removeprefix("-").partition(":")
    found = _values(resource, key, value, known or {}) if colon else _keys(resource, key)
    return [f"{minus}{one}" for one in found][:most]


def _keys(resource: Resource, begun: str) -> Iterator[str]:
    for key, field in FIELDS[resource].items():
        if key != "text" and key.startswith(begun.lower()):
            yield f"{key}:"
            if key == begun.lower():
                yield from (f"{key}:{value}" for value in field.values)


def _values(resource: Resource, key: str, begun: str, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    field = FIELDS[resource].get(key.lower())
    if field is None:
        return
    before, comma, last = begun.rpartition(",")
    given = before.split(",") if comma else []
    for value in field.values or sorted(known.get(field.key, ())):
        if value.startswith(last) and value not in given:
            yield f"{field.key}:{before}{comma}{Item((value,)).text}"
