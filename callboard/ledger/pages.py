"""Pages and counts of what a filter chooses, newest first, in bounded time however much the ledger holds.

A page is found by the key of the row before it, not by an offset: rows that come meanwhile shift nothing, so that no
row is shown twice and none that was there at the start is left out. (Of issues, one that happens again meanwhile moves
to the top, and is seen when the list is begun anew.)

What no index leads to is looked for in windows: of the newest few thousand rows, then of the next, until the page is
full or `_search.PATIENCE` is used up. The page then says how far it has looked, and its cursor goes on from there.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger._search import Count, Page, Search

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.filters import Filter

__all__ = ["Count", "Page", "count", "page", "search"]

_MOST_ROWS = 1_000

# Filters differ too much for one plan to fit them all, and none is worth compiling. What is looked at lies side by side
# or in memory, which the cost of a random page would deny. The time limit is the last resort.
_SETTINGS = text("""
select now(), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true), set_config('random_page_cost', '1.1', true),
       set_config('statement_timeout', '5s', true)
""")


def page(
    connection: Connection,
    chosen: Filter,
    *,
    cursor: str | None = None,
    limit: int = 50,
    projects: Collection[str] | None = None,
    system: bool = True,
) -> Page:
    """The newest `limit` rows that fit, of those after the cursor.

    Args:
        connection: A transaction on the ledger.
        chosen: Which rows; the resource is its own.
        cursor: `Page.next` of the page before.
        limit: At most 1,000.
        projects: Only rows of these projects, and none of the system's own.
        system: Whether rows of no project are shown; False without `projects`: those of all projects.

    Raises:
        FilterError: The cursor is not one that `page` gave out.
    """
    most = max(1, min(limit, _MOST_ROWS))
    with _settings(connection) as now:
        search = Search.of(connection, chosen, now, cursor, projects, system=system)
        if search is None:
            return Page([], None, has_more=False, count=Count(0, exact=True))
        return search.page(most)


def search(
    connection: Connection,
    chosen: Filter,
    *,
    cursor: str | None = None,
    limit: int = 50,
    seconds: float = 5.0,
    projects: Collection[str] | None = None,
) -> Page:
    """As many pages as it takes to find `limit` rows, for whoever would rather wait; about `seconds` at most."""
    deadline = time.monotonic() + seconds
    rows: list[RowMapping] = []
    while True:
        found = page(connection, chosen, cursor=cursor, limit=limit - len(rows), projects=projects)
        rows += found.rows
        cursor = found.next
        if not found.has_more or len(rows) >= limit or time.monotonic() >= deadline:
            return replace(found, rows=rows)


def count(
    connection: Connection,
    chosen: Filter,
    *,
    most: int = 10_000,
    projects: Collection[str] | None = None,
    system: bool = True,
) -> Count:
    """How many rows fit: exactly up to `most` where that is found in time, else estimated. See `Page.count` first."""
    with _settings(connection) as now:
        search = Search.of(connection, chosen, now, None, projects, system=system)
        return search.count(most) if search is not None else Count(0, exact=True)


@contextmanager
def _settings(connection: Connection) -> Iterator[datetime]:
    """Settings for these queries alone: they end with the savepoint, which never changes anything."""
    savepoint = connection.begin_nested()
    try:
        yield connection.execute(_SETTINGS).scalar_one()
    finally:
        savepoint.rollback()
