"""The whole board on one screen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger import trends
from callboard.views import schedules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from callboard.views.schedules import ScheduleView

# Each is read from an index that holds only what is open, or what went wrong.
_COUNTS = text("""
select (select count(*) from board.runs where state = 'pending') as pending,
       (select count(*) from board.runs where state = 'running') as running,
       (select count(*) from board.runs where state = 'failed' and created_at > :since) as failed,
       (select count(*) from board.runs where state = 'cancelled' and created_at > :since) as cancelled,
       (select count(*) from board.dead_letters where state = 'open') as dead_letters,
       (select count(*) from board.issues where status <> 'resolved'
          and (silenced_until is null or silenced_until < :now)) as issues,
       (select count(*) from board.issues where status <> 'resolved' and severity = 'critical'
          and (silenced_until is null or silenced_until < :now)) as critical_issues,
       (select count(*) from board.workers where state = 'alive' and lease_until > now()) as workers,
       (select coalesce(sum(threads), 0) from board.workers where state = 'alive' and lease_until > now()) as threads,
       (select coalesce(sum(busy), 0) from board.workers where state = 'alive' and lease_until > now()) as busy
""")
_WINDOW = timedelta(hours=24)
_MOST_POINTS = 240


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is now; failed, cancelled and completed within the last 24 hours.

    `completed` is of attempts, from the totals; `issues` are those not resolved and not silenced.
    """

    pending: int
    running: int
    completed: int
    failed: int
    cancelled: int
    dead_letters: int
    issues: int
    critical_issues: int
    workers: int
    threads: int
    busy: int


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series that ends at `at`: attempts by how they ended, and the seconds they ran."""

    at: datetime
    success: int = 0
    failed: int = 0
    retry: int = 0
    cancelled: int = 0
    shutdown: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Overview:
    """What needs a look first: `troubled` are schedules that fail, are overdue or paused."""

    now: datetime
    counts: Counts
    series: list[Point]
    troubled: list[ScheduleView]


def tell(connection: Connection, *, now: datetime, window: timedelta = timedelta(hours=1)) -> Overview:
    """The board as of `now`, with its throughput over `window`."""
    row = connection.execute(_COUNTS, {"now": now, "since": now - _WINDOW}).mappings().one()
    day = sum(point.success for point in series(connection, now=now, window=_WINDOW))
    every = schedules.listing(connection, now=now)
    return Overview(
        now=now,
        counts=Counts(completed=day, **{name: int(value) for name, value in row.items()}),
        series=series(connection, now=now, window=window),
        troubled=[one for one in every if one.overdue_seconds or one.consecutive_failures or one.paused_at],
    )


def series(connection: Connection, *, now: datetime, window: timedelta, job: str | None = None) -> list[Point]:
    """Attempts over `window` up to `now`, in 240 even steps of whole minutes at most; empty steps are there too."""
    step = max(60, -(-int(window.total_seconds()) // _MOST_POINTS // 60) * 60)
    begun = now.fromtimestamp((now - window).timestamp() // step * step, now.tzinfo)  # the first step is a whole one
    return _points(trends.series(connection, since=begun, step=step, job=job), now, window, step)


def _points(rows: Sequence[RowMapping], now: datetime, window: timedelta, step: int) -> list[Point]:
    found: dict[int, dict[str, int]] = {}
    seconds: dict[int, float] = {}
    for row in rows:
        key = int(row["at"].timestamp())
        found.setdefault(key, {})[row["outcome"]] = int(row["attempts"])
        seconds[key] = seconds.get(key, 0.0) + float(row["seconds"])
    first = (int((now - window).timestamp()) // step + 1) * step
    last = -(-int(now.timestamp()) // step) * step
    return [
        Point(at=now.fromtimestamp(key, now.tzinfo), seconds=seconds.get(key, 0.0), **_known(found.get(key, {})))
        for key in range(first, last + 1, step)
    ]


def _known(outcomes: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in outcomes.items() if name in Point.__slots__}
