"""Pages and counts of what a filter chooses, newest first, in bounded time however much the ledger holds.

A page is found by the key of the row before it, not by an offset: rows that come meanwhile shift nothing, so that no
row is shown twice and none that was there at the start is left out. (Of issues, one that happens again meanwhile moves
to the top, and is seen when the list is begun anew.)

What no index leads to is looked for in windows: of the newest few thousand rows, then of the next, until the page is
full or `PATIENCE` is used up. The page then says how far it has looked, and its cursor goes on from there.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select, text, true, tuple_

from callboard.ledger import _cursor
from callboard.ledger._cursor import Cursor
from callboard.ledger._paths import LISTINGS, Listing, Path, array, both, path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

    from callboard.filters import Filter

#: Seconds after which a search that has not filled its page stops.
PATIENCE = 0.035
FIRST_WINDOW = 4_000
_GROWTH = 4
_MOST_ROWS = 1_000
_NO_ID = {"created_at": UUID(int=0), "last_seen_at": 0}

# Filters differ too much for one plan to fit them all, and none is worth compiling. The time limit is the last resort.
_SETTINGS = text("""
select now(), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true), set_config('statement_timeout', '5s', true)
""")
_JOBS = text("""
with recursive jobs as (
    (select job from board.runs order by job limit 1)
    union all
    select (select r.job from board.runs r where r.job > jobs.job order by r.job limit 1) from jobs
    where jobs.job is not null
)
select job from jobs where job is not null
""")


@dataclass(frozen=True)
class Page:
    """Rows without their payloads, logs and tracebacks.

    Attributes:
        rows: Newest first.
        next: The cursor of what follows; None at the end.
        has_more: Whether something follows, or may follow where `searched_until` is set.
        searched_until: How far back a search that is not at its end has looked.
    """

    rows: list[RowMapping]
    next: str | None
    has_more: bool
    searched_until: datetime | None = None


@dataclass(frozen=True)
class Count:
    """How many rows fit; an estimate unless it is `exact`."""

    number: int
    exact: bool


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
        search = _Search.of(connection, chosen, now, cursor, projects, system=system)
        return search.page(most) if search is not None else Page([], None, has_more=False)


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
    """How many rows fit: exactly up to `most` where that is found in time, else estimated."""
    with _settings(connection) as now:
        search = _Search.of(connection, chosen, now, None, projects, system=system)
        return search.count(most) if search is not None else Count(0, exact=True)


def jobs(connection: Connection) -> list[str]:
    """The jobs that have runs, by name."""
    return list(connection.execute(_JOBS).scalars())


@contextmanager
def _settings(connection: Connection) -> Iterator[datetime]:
    """Settings for these queries alone: they end with the savepoint, which never changes anything."""
    savepoint = connection.begin_nested()
    try:
        yield connection.execute(_SETTINGS).scalar_one()
    finally:
        savepoint.rollback()


@dataclass
class _Search:
    """One search.

    Attributes:
        after: The key that it begins below, which moves as windows are looked through.
        looked: Rows in the windows that it has looked through, and `searched_until` when the oldest is of.
    """

    connection: Connection
    listing: Listing
    path: Path
    conditions: list[ColumnElement[bool]]
    resource: str
    now: datetime
    after: tuple[Any, ...] | None
    looked: int = 0
    searched_until: datetime | None = None

    @classmethod
    def of(
        cls,
        connection: Connection,
        chosen: Filter,
        now: datetime,
        cursor: str | None,
        projects: Collection[str] | None,
        *,
        system: bool,
    ) -> _Search | None:
        """The search for what a filter chooses; None if nothing can fit."""
        listing = LISTINGS[chosen.resource]
        begun = None if cursor is None else _cursor.read(cursor, chosen.resource, _types(listing))
        moment = now if begun is None else begun.now
        if chosen.resource == "runs" and any(_names_jobs(chosen)):
            resolved = chosen.with_jobs(jobs(connection))
        else:
            resolved = chosen
        if resolved is None or (projects is not None and not projects):
            return None
        conditions = resolved.where(literal(moment)) + _allowed(listing, projects, system=system)
        way = path(listing, resolved, projects)
        return cls(connection, listing, way, conditions, chosen.resource, moment, begun.key if begun else None)

    def page(self, limit: int) -> Page:
        """One page of it."""
        rows: list[RowMapping] = []
        for low in self._windows():
            rows += self.connection.execute(self._rows(limit + 1 - len(rows), low)).mappings()
            if len(rows) > limit:
                key = tuple(rows[limit - 1][name] for name in self.listing.order)
                return Page(rows[:limit], self._told(key), has_more=True)
        if self.searched_until is None:
            return Page(rows, None, has_more=False)
        return Page(rows, self._told(self.after or ()), has_more=True, searched_until=self.searched_until)

    def _told(self, key: tuple[Any, ...]) -> str:
        return Cursor(self.now, key).text(self.resource)

    def count(self, most: int) -> Count:
        """How many there are in it."""
        found = 0
        for low in self._windows():
            found += self.connection.execute(self._number(most + 1 - found, low)).scalar_one()
            if found > most:
                self.after = None
                return Count(max(found, self._expected(self.conditions)), exact=False)
        if self.searched_until is None:
            return Count(found, exact=True)
        self.after = None
        return Count(max(found, found * self._expected([]) // self.looked), exact=False)

    def _windows(self) -> Iterator[Any]:
        """The lowest key of each window; None for the last, which goes to the end.

        When the next one is asked for, `after` is below the one before, and `searched_until` is its moment.
        """
        begun, size = time.monotonic(), FIRST_WINDOW
        while True:
            bound = None if self.path.exact or self.path.few else self._bound(size)
            yield bound and bound[0]
            if bound is None:
                self.searched_until = None
                return
            low, self.searched_until = bound
            self.after = (low, *(_NO_ID[name] for name in self.listing.order[:1] if name in _NO_ID))
            self.looked += size
            spent = time.monotonic() - begun
            if spent >= PATIENCE:
                return
            size = max(FIRST_WINDOW, min(size * _GROWTH, int(self.looked / spent * (PATIENCE - spent))))

    def _bound(self, size: int) -> tuple[Any, datetime] | None:
        """The key and the moment of the row that is `size` below, on each branch its share of it."""
        table, first = self.listing.table, self.listing.keys[0]
        share = max(1, size // max(1, len(self.path.values)))
        columns = first.label("low"), table.c[self.listing.moment].label("moment")
        query = select(*columns).where(both(self._below(), self.path.narrowed))
        found = self.connection.execute(self._branched(query, [first], 1, offset=share - 1)).one_or_none()
        return None if found is None else (found.low, found.moment)

    def _below(self) -> ColumnElement[bool] | None:
        if self.after is None:
            return None
        keys = self.listing.keys
        if len(keys) == 1:
            below: ColumnElement[bool] = keys[0] < self.after[0]
            return below
        # The first condition is what partitions are chosen by.
        return both(keys[0] <= self.after[0], tuple_(*keys) < tuple_(*map(literal, self.after)))

    def _branched(
        self, query: Select[Any], order: Sequence[ColumnElement[Any]], limit: int, *, offset: int = 0
    ) -> Select[Any]:
        """The newest of a query: of each branch in the order of its index, then of all by the listing's own."""
        branch, values = self.path.branch, self.path.values
        descending = [column.desc() for column in order]
        if branch is None or len(values) == 1:
            alone = query if branch is None else query.where(branch == values[0])
            return alone.order_by(*descending).offset(offset).limit(limit)
        listed = func.unnest(literal(list(values), array(branch)))
        each = listed.table_valued("value", name="each").render_derived()
        part = query.where(branch == each.c.value).order_by(*descending).offset(offset).limit(limit).lateral("part")
        names = [name for name in self.listing.order if name in part.c] or ["low"]
        merged = [part.c[name].desc() for name in names]
        return select(*part.c).select_from(each.join(part, true())).order_by(*merged).limit(limit)

    def _fitting(self, columns: Sequence[Any], low: Any) -> Select[Any]:  # noqa: ANN401 - a key's value
        lowest = None if low is None else self.listing.keys[0] >= low
        asked = both(self._below(), lowest, self.path.narrowed, *self.conditions)
        return select(*columns).select_from(self.listing.table).where(asked)

    def _rows(self, limit: int, low: Any) -> Select[Any]:  # noqa: ANN401 - a key's value
        if not self.path.few:
            # In a window, an index in the wanted order is no help to find a few, yet the planner would take it for one.
            keys = self.listing.keys if low is None else [func.coalesce(key, key) for key in self.listing.keys]
            return self._branched(self._fitting(self.listing.shown, low), keys, limit)
        # All of them are found before they are ordered: a plan that reads the order to find a few might read it all.
        table, keys = self.listing.table, self.listing.keys
        found = self._fitting(keys, low).cte("found").prefix_with("materialized", dialect="postgresql")
        newest = select(found).order_by(*(column.desc() for column in found.c)).limit(limit).subquery("newest")
        same = both(*(table.c[name] == newest.c[name] for name in self.listing.order))
        return select(*self.listing.shown).join(newest, same).order_by(*(column.desc() for column in keys))

    def _expected(self, conditions: Sequence[ColumnElement[bool]]) -> int:
        """How many rows Postgres expects on the path, by its statistics."""
        query = select(literal(1)).where(both(self.path.narrowed, self._on_branches(), *conditions))
        compiled = query.select_from(self.listing.table).compile(
            self.connection, compile_kwargs={"render_postcompile": True}
        )
        plan = self.connection.exec_driver_sql(f"explain (format json) {compiled}", compiled.params).scalar_one()
        return int(plan[0]["Plan"]["Plan Rows"])

    def _on_branches(self) -> ColumnElement[bool] | None:
        branch, values = self.path.branch, self.path.values
        return None if branch is None else branch == func.any(literal(list(values), array(branch)))

    def _number(self, most: int, low: Any) -> Select[Any]:  # noqa: ANN401 - a key's value
        query = self._fitting([literal(1).label("one")], low).where(both(self._on_branches()))
        return select(func.count()).select_from(query.limit(most).subquery())


def _names_jobs(chosen: Filter) -> Iterator[bool]:
    for word in chosen.words:
        yield not word.negated and (word.key == "text" or (word.key == "job" and chosen.values("job") is None))


def _types(listing: Listing) -> list[type]:
    return [column.type.python_type for column in listing.keys]


def _allowed(listing: Listing, projects: Collection[str] | None, *, system: bool) -> list[ColumnElement[bool]]:
    column = listing.table.c.project_id
    if projects is not None:
        return [column.in_(list(projects))]
    return [] if system else [column.is_not(None)]
