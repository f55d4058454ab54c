"""A table behind the one filter language: its rows, how many there are, and the links to narrow, widen and page it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from callboard.errors import FilterError
from callboard.filters import FIELDS, Filter, parse
from callboard.ledger import pages

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.filters import Field, Resource

LIMIT = 50
_EXAMPLES: dict[Resource, str] = {
    "runs": "state:failed job:sync_* age:<2h",
    "failures": "kind:transient job:sync_*",
    "dead_letters": "state:open issue:12",
    "issues": "status:open severity:critical",
    "audit": "who:anna@example.org action:dead_letter.*",
}
_NOUNS: dict[Resource, tuple[str, str]] = {
    "runs": ("run", "runs"),
    "failures": ("failure", "failures"),
    "dead_letters": ("dead letter", "dead letters"),
    "issues": ("issue", "issues"),
    "audit": ("act", "acts"),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """One term of the filter, and the page without it."""

    text: str
    without: str


@dataclass(slots=True)
class Listing:
    """What a page with a filter shows; `searched_until` is how far back a search that goes on has looked."""

    path: str
    resource: Resource
    text: str
    chosen: Filter | None = None
    wrong: str = ""
    rows: Sequence[RowMapping] = ()
    counted: str = ""
    exact: bool = True
    older: str = ""
    newest: str = ""
    searched_until: datetime | None = None
    chips: list[Chip] = field(default_factory=list)

    @property
    def example(self) -> str:
        """A filter to learn from."""
        return _EXAMPLES[self.resource]

    @property
    def noun(self) -> str:
        """What one row is."""
        return _NOUNS[self.resource][0]

    @property
    def fields(self) -> list[Field]:
        """Every key, with what it finds and an example."""
        return list(FIELDS[self.resource].values())


def look(
    ledger: Connection,
    resource: Resource,
    path: str,
    *,
    q: str,
    cursor: str | None = None,
    limit: int = LIMIT,
    projects: Collection[str] | None = None,
    counting: bool = True,
) -> Listing:
    """The rows that a filter chooses; a filter that cannot be read is said so, with no rows."""
    found = Listing(path, resource, q.strip())
    try:
        found.chosen = parse(found.text, resource)
        page = pages.page(ledger, found.chosen, cursor=cursor or None, limit=limit, projects=projects)
    except FilterError as error:
        found.wrong = str(error)
        return found
    found.rows, found.chips = page.rows, _chips(path, found.chosen)
    if counting:
        count = page.count or pages.count(ledger, found.chosen, projects=projects)
        found.counted, found.exact = counted(resource, count.number, exact=count.exact), count.exact
    found.searched_until = page.searched_until
    found.older = _link(path, found.text, page.next) if page.has_more and page.next else ""
    found.newest = _link(path, found.text) if cursor else ""
    return found


def counted(resource: Resource, number: int, *, exact: bool) -> str:
    """`1 run`, `4,312 runs`; an estimate in two digits: `about 12,000 runs`, `no runs so far`."""
    one, many = _NOUNS[resource]
    if not exact:
        return f"about {_rough(number):,} {many}" if number else f"no {many} so far"
    return f"{number:,} {one if number == 1 else many}"


def _rough(number: int) -> int:
    return round(number, 2 - len(str(number)))


def _chips(path: str, chosen: Filter) -> list[Chip]:
    written = [Filter(chosen.resource, (word,)).text for word in chosen.words]
    return [
        Chip(text, _link(path, chosen.without(term).text)) for text, term in zip(written, chosen.terms, strict=True)
    ]


def _link(path: str, q: str, cursor: str = "") -> str:
    given = {name: value for name, value in (("q", q), ("cursor", cursor)) if value}
    return f"{path}?{urlencode(given)}" if given else path
