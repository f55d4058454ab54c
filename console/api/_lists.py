"""Lists in the one filter language, page by page."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from callboard.filters import Filter, Resource, parse
from callboard.ledger import pages
from callboard.ledger.database import transaction

NO_NUL = r"^[^\x00]*$"
MOST = 200

FilterText = Annotated[
    str,
    Query(
        max_length=2000,
        pattern=NO_NUL,
        description="Which ones, e.g. `state:failed job:sync_* age:>2h`; `callboard runs --help` tells all keys.",
    ),
]
Cursor = Annotated[str | None, Query(max_length=500, pattern=NO_NUL, description="From the page before.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]
#: A number that a row is known by.
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@dataclass(frozen=True)
class Paging:
    """What every list takes."""

    filter: FilterText = ""
    cursor: Cursor = None
    limit: Limit = 50
    count: Annotated[
        bool, Query(description="Also tell how many the filter matches in all: exactly up to 10,000, then estimated.")
    ] = False


Paged = Annotated[Paging, Depends()]


def listing(
    resource: Resource, asked: Paging, *, projects: Collection[str] | None = None, chosen: Filter | None = None
) -> dict[str, Any]:
    """One page of what the filter matches, ready for `Listing` and `CountedListing`.

    Raises:
        FilterError: The filter or the cursor cannot be read.
    """
    chosen = parse(asked.filter, resource) if chosen is None else chosen
    with transaction() as connection:
        page = pages.page(
            connection, chosen, cursor=asked.cursor, limit=asked.limit, projects=projects, system=projects is None
        )
        count = (page.count or pages.count(connection, chosen, projects=projects)) if asked.count else None
    return {
        "items": page.rows,
        "cursor": page.next,
        "has_more": page.has_more,
        "searched_until": page.searched_until,
        "count": count,
    }
