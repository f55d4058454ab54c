"""Queries on `board.dead_letters`: find them, and settle each at most once.

Whoever settles letters holds their rows, in the order of their ids, until it has committed; a row of an open letter
that is held is being settled by somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sqlalchemy import and_, case, func, literal_column, select, text

from callboard.errors import NotFound
from callboard.ledger import failures, tables
from callboard.ledger.facts import dumps, readable
from observability.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

_LETTERS = tables.dead_letters.c
_SHOWN = [column for column in tables.dead_letters.columns if column.name != "payload"]

# A constant, so that the partial index is found by it.
_IS_OPEN = _LETTERS.state == literal_column("'open'")

_SETTLE = text("""
update board.dead_letters d
set state = 'replayed', settled_at = now(), settled_by = :by, settled_why = :why,
    replay_run_id = g.run_id, replay_args = cast(:args as jsonb)
from unnest(cast(:ids as bigint[]), cast(:runs as uuid[])) as g (id, run_id)
where d.id = g.id and d.state = 'open'
""")

# Attempts of runs that came of letters, and failed as the letter's own run had: by the fingerprint, which is the issue.
_RETURNED = text("""
select d.id, d.issue_id, d.replay_run_id, i.title
from board.failures f
join board.dead_letters d on d.replay_run_id = f.run_id and d.issue_id = f.issue_id
join board.issues i on i.id = f.issue_id
where f.issue_id = any(:issues) and f.id > :since
order by f.id limit 1
""")
_LAST_FAILURE = text("select coalesce(max(id), 0) from board.failures")

# A letter, the one its run came from, and so on; and the one that its replay left, and so on.
_LINEAGE = text("""
with recursive before as (
    select d.id, d.run_id, 0 as far from board.dead_letters d where d.id = :id
    union all
    select d.id, d.run_id, before.far - 1
    from before join board.dead_letters d on d.replay_run_id = before.run_id where before.far > -:most
), later as (
    select d.id, d.replay_run_id, 0 as far from board.dead_letters d where d.id = :id
    union all
    select d.id, d.replay_run_id, later.far + 1
    from later join board.dead_letters d on d.run_id = later.replay_run_id where later.far < :most
)
select d.id, d.run_id, d.issue_id, d.job, d.args, d.error_type, d.error, d.created_at, d.state, d.settled_at,
       d.settled_by, d.settled_why, d.replay_run_id, d.replay_args, r.state as replay_state
from (select id, far from before union select id, far from later) as chain
join board.dead_letters d on d.id = chain.id
left join board.runs r on r.id = d.replay_run_id
order by chain.far, d.id
""")
_LONGEST_CHAIN = 100
_LONGEST_REASON = 500


class Choice(Protocol):
    """Which letters are meant: a filter of `callboard.filters`, or what has its conditions."""

    def where(self, now: ColumnElement[datetime] | None = None) -> list[ColumnElement[bool]]:
        """The conditions, for a query on `tables.dead_letters`; ages are counted from `now`, else from each query."""


# Finding


def listing(connection: Connection, chosen: Choice, *, limit: int = 50) -> Sequence[RowMapping]:
    """The letters that fit, newest first, without their payloads."""
    query = select(*_SHOWN).where(*chosen.where()).order_by(_LETTERS.id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def ids(connection: Connection, chosen: Choice, *, limit: int | None = None) -> list[int]:
    """The ids of the letters that fit, oldest first."""
    query = select(_LETTERS.id).where(*chosen.where()).order_by(_LETTERS.id).limit(limit)
    return list(connection.execute(query).scalars())


def newest(connection: Connection) -> int:
    """The id of the newest letter, 0 when there is none."""
    return int(connection.execute(select(func.coalesce(func.max(_LETTERS.id), 0))).scalar_one())


def count_open(connection: Connection, *, most: int) -> int:
    """How many letters are open, counted no further than `most`."""
    some = select(_LETTERS.id).where(_IS_OPEN).limit(most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def left(connection: Connection, chosen: Choice, *, upto: int) -> int:
    """How many open letters fit, as far as the id `upto`."""
    query = select(func.count()).select_from(tables.dead_letters)
    return int(connection.execute(query.where(*_open(chosen, 0, upto))).scalar_one())


def get(connection: Connection, letter_id: int) -> RowMapping:
    """One letter, payload and all.

    Raises:
        NotFound: There is none of that id.
    """
    return _one(connection, letter_id, select(tables.dead_letters))


def _one(connection: Connection, letter_id: int, query: Select[Any]) -> RowMapping:
    row = connection.execute(query.where(_LETTERS.id == letter_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No dead letter has the id {letter_id}; `callboard dead-letters list` shows them.")
    return row


def history(connection: Connection, letter: RowMapping) -> Sequence[RowMapping]:
    """Every failed attempt of the letter's run, oldest first, with its error, its traceback and what it logged."""
    return failures.of_run(connection, letter["run_id"])


def lineage(connection: Connection, letter_id: int) -> list[RowMapping]:
    """The letter among those it came of and those that came of it by replays, oldest first.

    Each row has the letter's story without its payload, and in `replay_state` where its replay stands. At most 100 to
    either side.
    """
    return list(connection.execute(_LINEAGE, {"id": letter_id, "most": _LONGEST_CHAIN}).mappings())


# Settling


def hold(connection: Connection, letter_id: int) -> RowMapping:
    """One letter, held until the transaction ends; waits for whoever holds it.

    Raises:
        NotFound: There is none of that id.
    """
    return _one(connection, letter_id, select(tables.dead_letters).with_for_update())


def take(
    connection: Connection, chosen: Choice, *, after: int, upto: int, limit: int, wait: bool = False
) -> Sequence[RowMapping]:
    """Hold open letters that fit until the transaction ends, in the order of their ids.

    Args:
        connection: Inside a transaction.
        chosen: Which ones.
        after: From behind this id on.
        upto: As far as this id.
        limit: At most so many.
        wait: For letters that somebody else holds; else they are passed over.
    """
    query = select(tables.dead_letters).where(*_open(chosen, after, upto)).order_by(_LETTERS.id).limit(limit)
    return connection.execute(query.with_for_update(skip_locked=not wait)).mappings().all()


def is_left(connection: Connection, chosen: Choice, *, after: int, upto: int) -> bool:
    """Whether an open letter between the two ids fits."""
    return connection.execute(select(_LETTERS.id).where(*_open(chosen, after, upto)).limit(1)).first() is not None


def _open(chosen: Choice, after: int, upto: int) -> list[ColumnElement[bool]]:
    return [*chosen.where(), _IS_OPEN, _LETTERS.id > after, _LETTERS.id <= upto]


def settle(
    connection: Connection,
    replayed: Iterable[tuple[int, UUID]],
    *,
    by: str,
    why: str = "",
    args: dict[str, Any] | None = None,
) -> int:
    """Mark open letters as replayed, each by its run; returns how many were open.

    Args:
        connection: Inside the transaction that writes the runs.
        replayed: Ids of letters and of their runs.
        by: Who asked.
        why: The reason that was given.
        args: What the arguments were changed to, redacted.
    """
    letters, made = zip(*replayed, strict=True)
    given = {"ids": list(letters), "runs": list(made), "by": by, "why": _reason(why), "args": dumps(args)}
    return connection.execute(_SETTLE, given).rowcount


def discard(connection: Connection, chosen: Choice, *, by: str, why: str = "") -> int:
    """Give up all open letters that fit, in one statement; returns how many."""
    held = select(_LETTERS.id).where(*chosen.where(), _IS_OPEN).order_by(_LETTERS.id).with_for_update().cte("held")
    return _give_up(connection, _LETTERS.id == held.c.id, by, why)


def discard_one(connection: Connection, letter_id: int, *, by: str, why: str = "") -> bool:
    """Give one letter up; False if it was not open."""
    return _give_up(connection, and_(_LETTERS.id == letter_id, _IS_OPEN), by, why) == 1


def _give_up(connection: Connection, which: ColumnElement[bool], by: str, why: str) -> int:
    settled = {"state": "discarded", "settled_at": func.now(), "settled_by": by, "settled_why": _reason(why)}
    return connection.execute(tables.dead_letters.update().where(which).values(**settled)).rowcount


def _reason(why: str) -> str | None:
    return redact_text(readable(why))[:_LONGEST_REASON] or None


# What a replay would mean


def by_job(connection: Connection, chosen: Choice) -> Sequence[RowMapping]:
    """Open letters that fit, counted by job, most first: `job, count, oldest, newest`."""
    born, count = _LETTERS.created_at, func.count().label("count")
    query = select(_LETTERS.job, count, func.min(born).label("oldest"), func.max(born).label("newest"))
    chosen_ones = query.where(*chosen.where(), _IS_OPEN).group_by(_LETTERS.job)
    return connection.execute(chosen_ones.order_by(count.desc(), _LETTERS.job)).mappings().all()


def by_issue(connection: Connection, chosen: Choice, *, most: int) -> Sequence[RowMapping]:
    """Open letters that fit, counted by issue, of the `most` issues that have most: `id, title, status, count`."""
    count, issue = func.count().label("count"), tables.issues.c
    found = select(_LETTERS.issue_id, count).where(*chosen.where(), _IS_OPEN, _LETTERS.issue_id.is_not(None))
    top = found.group_by(_LETTERS.issue_id).order_by(count.desc(), _LETTERS.issue_id).limit(most).subquery()
    query = select(issue.id, issue.title, issue.status, top.c.count).join(top, top.c.issue_id == issue.id)
    return connection.execute(query.order_by(top.c.count.desc(), issue.id)).mappings().all()


def conflicts(connection: Connection, chosen: Choice, single: Sequence[str]) -> dict[str, int]:
    """Letters of these single jobs, by job, that would find another run, or an older letter's, in their place."""
    claim, run = tables.claims.c, tables.runs.c
    taken = (
        select(claim.job, claim.scope)
        .join(tables.runs, (run.id == claim.run_id) & (run.created_at == claim.run_created_at))
        .where(run.state.in_(("pending", "running")))
        .subquery()
    )
    waiting = (
        select(_LETTERS.job, _LETTERS.scope, func.count().label("count"))
        .where(*chosen.where(), _IS_OPEN, _LETTERS.job.in_(single))
        .group_by(_LETTERS.job, _LETTERS.scope)
        .subquery()
    )
    free = case((taken.c.job.is_(None), 1), else_=0)
    total = func.sum(waiting.c.count - free)
    same = (taken.c.job == waiting.c.job) & (taken.c.scope == waiting.c.scope)
    query = select(waiting.c.job, total).select_from(waiting).outerjoin(taken, same).group_by(waiting.c.job)
    return {job: int(count) for job, count in connection.execute(query) if count}


# What became of replays


def last_failure(connection: Connection) -> int:
    """The id of the newest failure, from which on `returned` looks."""
    return int(connection.execute(_LAST_FAILURE).scalar_one())


def returned(connection: Connection, issues: Iterable[int], *, since: int) -> RowMapping | None:
    """A letter of one of these issues whose replay has failed with the same fingerprint, if there is one.

    Whoever replayed it: `id`, `issue_id`, `replay_run_id` and the issue's `title`. Failures after `since` count.
    """
    given = {"issues": list(issues), "since": since}
    return connection.execute(_RETURNED, given).mappings().one_or_none()
