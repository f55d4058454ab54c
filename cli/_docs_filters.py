"""docs/reference/filters.md: the filter language, and what can stand in a filter of each resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.filters import FIELDS, RESOURCES
from cli._markdown import page, table

if TYPE_CHECKING:
    from callboard.filters import Field, Resource

_INTRODUCTION = """
The command line (`callboard runs`, `failures list`, `issues list`, `dead-letters`, `audit`), the API (`?filter=`), the
console's search line and bulk actions read filters in one language, so a filter that was tried in one works in all.

```text
state:failed job:sync_* issue:12 age:>2h "connection reset" -queue:mail kind:transient,runtime
```
"""
_RULES = (
    ("`job:sync state:failed`", "every word must fit"),
    ("`state:failed,cancelled`", "any of these values"),
    ("`-queue:mail`", "must not fit; rows that have no such value are shown too"),
    ("`job:sync_*`", "a star is any text, also none; in choices such as `state:*` as well"),
    ("`age:>2h`, `attempt:>=3`", "`>`, `>=`, `<`, `<=` go with numbers, ages, durations and moments"),
    ("`age:<90s`", "ages and durations: a number and `ms`, `s`, `m`, `h`, `d` or `w`"),
    (
        "`since:2026-07-01T09:30Z`",
        "moments: ISO 8601 (UTC where it says no zone), a day, `today`, `yesterday`, `now`, or `2h`: so long ago",
    ),
    ('`error:"not found"`', 'quotes keep spaces, commas, stars and colons as they are; `\\"` and `\\\\` inside them'),
    ('`"error: x"`', "a word without a key is searched for; with a colon in it, it needs quotes"),
    ('`project:""`', "none at all"),
)
_END = """
Texts are compared case and all, and whole; what is searched for may stand anywhere, in any case. An id may be shortened
to its first 4 or more characters. In a shell, stars, comparisons and quotes need quotes of their own:
`callboard runs 'job:sync_*' 'age:>2h'`; a word to be left out that has no key stands after `--`:
`callboard runs -- -timeout`.

Listings are newest first, and page by a cursor: no row is shown twice or left out because others came meanwhile. What
no index leads to is looked for among so many of the newest rows as can be read in a thirtieth of a second; a listing
says how far back it has looked, and its cursor goes on from there. Counts are exact up to 10,000, then estimated.
"""


def filters_page() -> str:
    """The text of the page."""
    parts = [_INTRODUCTION.strip(), table(["Written", "Means"], _RULES), _END.strip()]
    for resource in RESOURCES:
        parts += [f"## {resource.replace('_', ' ').capitalize()}", _fields(resource)]
    return page("Filters", "python -m cli.docs", parts)


def _fields(resource: Resource) -> str:
    rows = [[_key(field), field.meaning, f"`{field.example}`", _values(field)] for field in FIELDS[resource].values()]
    return table(["Key", "Chooses by", "Example", "Values"], rows)


def _key(field: Field) -> str:
    return "(none)" if field.key == "text" else f"`{field.key}`"


def _values(field: Field) -> str:
    if field.values:
        return ", ".join(f"`{value}`" for value in field.values)
    return f"{field.kind.name}, compared" if field.compares else field.kind.name
