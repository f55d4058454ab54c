"""One search for what a filter chooses: by which queries its rows are found and counted."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select, text, true, tuple_

from callboard.ledger import _cursor, audit
from callboard.ledger._cursor import Cursor
from callboard.ledger._paths import LISTINGS, Listing, Path, array, both, path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

    from callboard.filters import Filter

#: Seconds after which a search that has not filled its page stops.
PATIENCE = 0.035
FIRST_WINDOW = 1_000
#: Rows that are put in order at once, where an index has them in another.
MOST_FEW = 20_000
_GROWTH = 4
_NO_ID = {"created_at": UUID(int=0), "last_seen_at": 0, "at": 0}

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
class Count:
    """How many rows fit; an estimate unless it is `exact`."""

    number: int
    exact: bool


@dataclass(frozen=True)
class Page:
    """Rows without their payloads, logs and tracebacks.

    Attributes:
        rows: Newest first.
        next: The cursor of what follows; None at the end.
        has_more: Whether something follows, or may follow where `searched_until` is set.
        searched_until: How far back a search that is not at its end has looked.
        count: How many there are in all, where the first page came by it: it is not full.
    """

    rows: list[RowMapping]
    next: str | None
    has_more: bool
    searched_until: datetime | None = None
    count: Count | None = None


@dataclass
class Search:
    """One search.

    Attributes:
        after: The key that it begins below, which moves as windows are looked through.
        looked: Rows in the windows so far, and `searched_until` how far back the oldest one reached.
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
    ) -> Search | None:
        """The search for what a filter chooses; None if nothing can fit."""
        listing = LISTINGS[chosen.resource]
        begun = None if cursor is None else _cursor.read(cursor, chosen.resource, _types(listing))
        moment = now if begun is None else begun.now
        resolved: Filter | None
        if chosen.resource == "runs" and any(_names_jobs(chosen)):
            resolved = chosen.with_jobs(jobs(connection))
        elif chosen.resource == "audit":
            resolved = chosen.with_people(partial(audit.whose, connection))
        else:
            resolved = chosen
        if resolved is None or (projects is not None and not projects):
            return None
        conditions = resolved.where(literal(moment)) + _allowed(listing, projects, system=system)
        way = path(listing, resolved, projects)
        if listing.times:  # a window begins where the time that is asked for does
            times = resolved.only(listing.times).where(literal(moment))
            way = replace(way, narrowed=both(way.narrowed, *times))
        return cls(connection, listing, way, conditions, chosen.resource, moment, begun.key if begun else None)

    def page(self, limit: int) -> Page:
        """One page of it."""
        if self.path.few and self.connection.execute(self._number(MOST_FEW + 1, None)).scalar_one() > MOST_FEW:
            self.path = Path()
        rows: list[RowMapping] = []
        from_start = self.after is None
        for low in self._windows():
            rows += self.connection.execute(self._rows(limit + 1 - len(rows), low)).mappings()
            if len(rows) > limit:
                key = tuple(rows[limit - 1][name] for name in self.listing.order)
                return Page(rows[:limit], self._told(key), has_more=True)
        count = self._counted(len(rows)) if from_start else None
        if self.searched_until is None:
            return Page(rows, None, has_more=False, count=count)
        return Page(rows, self._told(self.after or ()), has_more=True, searched_until=self.searched_until, count=count)

    def _told(self, key: tuple[Any, ...]) -> str:
        return Cursor(self.now, key).text(self.resource)

    def count(self, most: int) -> Count:
        """How many there are in it."""
        found = 0
        for low in self._windows():
            # A window has an end of its own, and what is counted to its end tells how much there is beyond.
            found += self.connection.execute(self._number(most + 1 - found if low is None else None, low)).scalar_one()
            if found > most:
                break
        else:
            return self._counted(found)
        return Count(max(found, self._estimate(found, most)), exact=False)

    def _counted(self, found: int) -> Count:
        """What was found when the windows ended, of themselves or for want of patience."""
        exact = self.searched_until is None
        return Count(found if exact else max(found, self._estimate(found, found)), exact=exact)

    def _estimate(self, found: int, most: int) -> int:
        """How many there may be: what Postgres' statistics say, unless they know less than half of what was found.

        Then, and of few, it is as many as if the rest were like what was looked at.
        """
        expected = self._expected(self.conditions) if found > most else 0
        return expected if 2 * expected > found or not self.looked else found * self._expected([]) // self.looked

    def _windows(self) -> Iterator[Any]:
        """The lowest key of each window; None for the last, which goes to the end.

        When the next one is asked for, `after` is below the one before, and `searched_until` is its moment.
        """
        begun, size = time.monotonic(), FIRST_WINDOW
        while True:
            bound = None if self.path.exact or self.path.few else self._bound(size)
            if bound is None:
                yield None
                self.searched_until = None
                return
            self.looked += size
            yield bound[0]
            low, self.searched_until = bound
            self.after = (low, *(_NO_ID[name] for name in self.listing.order[:1] if name in _NO_ID))
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
        """The rows themselves; where they have to be looked for, their keys come first, which an index may tell alone.

        There, all that fit are found before they are ordered: an index in the order of the listing is no help to find
        a few of many, yet the planner would take it for one.
        """
        table, keys = self.listing.table, self.listing.keys
        if self.path.few:
            fitting = self._fitting(keys, None).cte("found").prefix_with("materialized", dialect="postgresql")
            found = select(fitting).order_by(*(column.desc() for column in fitting.c)).limit(limit)
        elif low is None and self.path.exact:
            return self._branched(self._fitting(self.listing.shown, None), keys, limit)
        else:
            found = self._branched(self._fitting(keys, low), [func.coalesce(key, key) for key in keys], limit)
        newest = found.subquery("newest")
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

    def _number(self, most: int | None, low: Any) -> Select[Any]:  # noqa: ANN401 - a key's value
        query = self._fitting([literal(1).label("one")], low).where(both(self._on_branches()))
        return select(func.count()).select_from(query.limit(most).subquery())


def _names_jobs(chosen: Filter) -> Iterator[bool]:
    for word in chosen.words:
        yield not word.negated and (word.key == "text" or (word.key == "job" and chosen.values("job") is None))


def _types(listing: Listing) -> list[type]:
    return [column.type.python_type for column in listing.keys]


def _allowed(listing: Listing, projects: Collection[str] | None, *, system: bool) -> list[ColumnElement[bool]]:
    if projects is not None:
        return [listing.table.c.project_id.in_(list(projects))]
    return [] if system else [listing.table.c.project_id.is_not(None)]


def jobs(connection: Connection) -> list[str]:
    """The jobs that have runs, by name."""
    return list(connection.execute(_JOBS).scalars())
