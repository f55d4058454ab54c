"""By which of its indexes the rows of a filter are found, newest first.

Every index of `runs` is paid for by every run, so most words of a filter have none. A path is the index that narrows
the search most; what the rest of the filter asks is then looked at row by row, in windows (see `pages`). A path is
`exact` where its index leads to the wanted rows alone, so that no window is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, literal_column, true
from sqlalchemy.dialects.postgresql import ARRAY

from callboard.ledger import account_tables, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from callboard.filters import Filter

_OPEN, _BAD = {"pending", "running"}, {"failed", "cancelled"}
#: What people ask for by hand: the partial index `runs_by_hand` has it word for word.
BY_HAND = "runs.trigger not in ('send', 'schedule') and left(runs.trigger, 4) <> 'job:'"
_MOST_VALUES = 100


@dataclass(frozen=True)
class Listing:
    """A table as it is listed, newest first.

    Attributes:
        table: Whose rows.
        order: The columns that it is ordered by; together they tell every row apart.
        moment: The column that says how far back a search has looked.
        heavy: Columns that no list shows.
        points: Keys each value of which has few rows, found by an index of their own.
        branches: Keys whose index has the rows of each value in the order of the listing, most telling first.
        times: Keys that bound the order itself.
    """

    table: Table
    order: tuple[str, ...]
    moment: str
    heavy: frozenset[str] = frozenset()
    points: frozenset[str] = frozenset()
    branches: tuple[tuple[str, str], ...] = ()
    times: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[Any, ...]:
        """The columns of the order."""
        return tuple(self.table.c[name] for name in self.order)

    @property
    def shown(self) -> tuple[Any, ...]:
        """The columns that a list shows."""
        return tuple(column for column in self.table.columns if column.name not in self.heavy)


@dataclass(frozen=True)
class Path:
    """How the rows of a filter are found.

    Attributes:
        branch: A column whose index has the rows of each value in the listing's order; None: the listing's own.
        values: The values of that column that are wanted.
        narrowed: What holds for all wanted rows, and a partial index is of.
        exact: Whether all that is found so is wanted.
        few: Whether the rows are few and found in no order.
    """

    branch: ColumnElement[Any] | None = None
    values: tuple[Any, ...] = ()
    narrowed: ColumnElement[bool] | None = None
    exact: bool = False
    few: bool = False


_TIMES = frozenset({"age", "since", "until", "created"})
_BRANCHES = (("project", "project_id"), ("issue", "issue_id"), ("job", "job"))
LISTINGS: dict[str, Listing] = {
    "runs": Listing(
        table=tables.runs,
        order=("created_at", "id"),
        moment="created_at",
        heavy=frozenset({"payload", "log"}),
        points=frozenset({"id", "parent", "correlation", "issue"}),
        branches=(("project", "project_id"), ("job", "job")),
        times=_TIMES,
    ),
    "failures": Listing(
        table=tables.failures,
        order=("id",),
        moment="occurred_at",
        heavy=frozenset({"traceback", "log"}),
        points=frozenset({"id", "run"}),
        branches=_BRANCHES,
    ),
    "dead_letters": Listing(
        table=tables.dead_letters,
        order=("id",),
        moment="created_at",
        heavy=frozenset({"payload"}),
        points=frozenset({"id", "run", "replay"}),
        branches=_BRANCHES,
    ),
    "audit": Listing(
        table=account_tables.audit,
        order=("at", "id"),
        moment="at",
        points=frozenset({"id"}),
        branches=(("team", "team_id"), ("who", "who")),
        times=_TIMES,
    ),
    "issues": Listing(table=tables.issues, order=("last_seen_at", "id"), moment="last_seen_at"),
}


def path(listing: Listing, chosen: Filter, projects: Collection[str] | None) -> Path:
    """The best path to what a filter chooses of those projects."""
    if any(chosen.values(key) and not _compared(chosen, key) for key in listing.points):
        return Path(few=True)
    if listing.table is tables.issues:
        return Path(exact=True)
    stateful = listing.table is tables.runs or listing.table is tables.dead_letters
    state = set(chosen.chosen("state") or ()) if stateful else set()
    if listing.table is tables.runs and state and state <= _OPEN:
        return Path(few=True)
    return _branch(listing, chosen, projects, state) or _narrowed(listing, chosen, state)


def _compared(chosen: Filter, key: str) -> bool:
    return any(word.op or word.negated for word in chosen.words if word.key == key)


def _branch(listing: Listing, chosen: Filter, projects: Collection[str] | None, state: set[str]) -> Path | None:
    rest = {word.key for word in chosen.words} - listing.times
    for key, name in listing.branches:
        column = listing.table.c[name]
        values = _values(chosen, key, projects)
        if values is None:
            continue
        if listing.table is tables.runs and key == "job":
            return _job_of_runs(chosen, column, values, rest, state)
        return Path(column, values, exact=rest <= {key} and not state)
    return None


def _values(chosen: Filter, key: str, projects: Collection[str] | None) -> tuple[Any, ...] | None:
    values: tuple[Any, ...] | None = chosen.values(key)
    if key == "project" and projects is not None:
        values = tuple(sorted(set(projects).intersection(values) if values else projects))
    if values is None or len(values) > _MOST_VALUES:
        return None
    return _READ[key](values) if key in _READ else values


def _numbers(values: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _ids(values: tuple[str, ...]) -> tuple[UUID, ...] | None:
    """None where a team is named by its slug."""
    try:
        return tuple(UUID(value) for value in values)
    except ValueError:
        return None


#: How the values of a filter are those of the column; None: they are not.
_READ: dict[str, Callable[[tuple[str, ...]], tuple[Any, ...] | None]] = {"issue": _numbers, "team": _ids}


def _job_of_runs(
    chosen: Filter, column: ColumnElement[Any], values: tuple[Any, ...], rest: set[str], state: set[str]
) -> Path | None:
    if state and state <= _BAD:
        return Path(column, values, _ended_badly(), exact=rest == {"job", "state"} and "failed" in state)
    if chosen.asked("error") or chosen.asked("kind"):
        return None  # those with an error are fewer than those of a job
    return Path(column, values, exact=rest == {"job"})


def _ended_badly() -> ColumnElement[bool]:
    return literal_column("runs.state in ('failed', 'cancelled')")


def _narrowed(listing: Listing, chosen: Filter, state: set[str]) -> Path:
    rest = {word.key for word in chosen.words} - listing.times
    if listing.table is not tables.runs:
        narrowed: ColumnElement[bool] | None = (
            literal_column("dead_letters.state = 'open'") if state == {"open"} else None
        )
        return Path(narrowed=narrowed, exact=rest <= {"state"} and (narrowed is not None or not state))
    if state and state <= _BAD:
        return Path(narrowed=_ended_badly(), exact=rest == {"state"} and "failed" in state)
    if chosen.asked("error") or chosen.asked("kind"):
        return Path(narrowed=literal_column("runs.error_kind is not null"))
    if (asked := chosen.asked("trigger")) and all(_by_hand(item.parts[0]) for item in asked):
        return Path(narrowed=literal_column(BY_HAND))
    return Path(exact=not rest)


def _by_hand(begin: str) -> bool:
    """Whether everything that begins so was asked for by hand."""
    others = ("send", "schedule", "job:")
    return not any(other.startswith(begin) or begin.startswith("job:") for other in others)


def array(column: ColumnElement[Any]) -> ARRAY[Any]:
    """The type of several values of a column."""
    return ARRAY(column.type)


def both(*conditions: ColumnElement[bool] | None) -> ColumnElement[bool]:
    """All of those that are given."""
    return and_(true(), *(condition for condition in conditions if condition is not None))
