"""Month partitions of `board.runs`: made ahead of time, dropped whole when they are old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_EXISTING = text("""
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'board.runs'::regclass and c.relname ~ '^runs_[0-9]{4}_[0-9]{2}$' order by 1
""")


def _month(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return _month(month + timedelta(days=32))


def _name(month: datetime) -> str:
    return f"runs_{month:%Y_%m}"


def _months(start: datetime, count: int) -> Iterator[datetime]:
    month = _month(start)
    for _ in range(count):
        yield month
        month = _next(month)


def existing(connection: Connection) -> list[str]:
    """The names of the month partitions, oldest first."""
    return list(connection.execute(_EXISTING).scalars())


def ensure(connection: Connection, *, now: datetime | None = None, ahead: int = 2) -> list[str]:
    """Make the partitions of this month and the next `ahead` ones; rows waiting in the default one move over.

    Returns:
        The names of those that were made.
    """
    known = set(existing(connection))
    wanted = _months(now or datetime.now(UTC), ahead + 1)
    made = [month for month in wanted if _name(month) not in known]
    for month in made:
        _make(connection, month)
    return [_name(month) for month in made]


def _make(connection: Connection, month: datetime) -> None:
    name, bounds = _name(month), {"low": month, "high": _next(month)}
    rows = "created_at >= :low and created_at < :high"
    connection.execute(text(f"create table board.{name} (like board.runs including all)"))
    move = f"with moved as (delete from board.runs_default where {rows} returning *)"  # noqa: S608 - our names
    connection.execute(text(f"{move} insert into board.{name} select * from moved"), bounds)  # noqa: S608 - the same
    values = f"from ('{bounds['low'].isoformat()}') to ('{bounds['high'].isoformat()}')"
    connection.execute(text(f"alter table board.runs attach partition board.{name} for values {values}"))


def prune(connection: Connection, *, older_than: timedelta, now: datetime | None = None) -> list[str]:
    """Drop the months that ended more than `older_than` ago, except those with a run that has not ended.

    Returns:
        The names of those that were dropped.
    """
    limit = (now or datetime.now(UTC)) - older_than
    old = [
        name
        for name in existing(connection)
        if _next(datetime.strptime(name, "runs_%Y_%m").replace(tzinfo=UTC)) < limit
    ]
    dropped = [name for name in old if not _has_open_runs(connection, name)]
    for name in dropped:
        connection.execute(text(f"drop table board.{name}"))
    return dropped


def _has_open_runs(connection: Connection, name: str) -> bool:
    query = f"select exists (select from board.{name} where state in ('pending', 'running'))"  # noqa: S608 - our names
    return bool(connection.execute(text(query)).scalar_one())
