"""The recurring jobs: when each fires next, and what became of its last ticks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.errors import NotFound
from callboard.job import all_jobs

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.cadence import Cadence

# One look at all schedules: their last ticks, each with the run it led to.
_LIST = text("""
select s.*, t.scheduled_for, t.outcome, t.reason, t.coalesced_into, t.run_id, t.state as run_state,
       t.started_at as run_started_at, t.finished_at as run_finished_at
from board.schedules s
left join lateral (
    select o.scheduled_for, o.outcome, o.reason, o.coalesced_into, o.run_id, r.state, r.started_at, r.finished_at
    from (
        select * from board.occurrences where job = s.job order by scheduled_for desc limit :ticks
    ) o
    left join lateral (
        select state, started_at, finished_at from board.runs where id = o.run_id limit 1
    ) r on true
) t on true
where (s.declared or :everything) and (cast(:job as text) is null or s.job = :job)
order by s.job, t.scheduled_for
""")

_FIRES = 10
#: A run that starts within so many seconds of its tick is on time, or within a tenth of the interval if that is more.
_GRACE_SECONDS = 60.0
#: Ticks that nobody wanted to fire say nothing of the scheduler.
_MEANT = ("paused",)


@dataclass(frozen=True, slots=True)
class Tick:
    """One due moment: `outcome` is fired, coalesced or skipped; the run's fields are None where it had none."""

    scheduled_for: datetime
    outcome: str
    reason: str | None
    coalesced_into: datetime | None
    run_id: UUID | None
    run_state: str | None
    run_started_at: datetime | None
    run_finished_at: datetime | None

    @property
    def mark(self) -> str:
        """What a strip shows of it: the state of its run, else its outcome."""
        return self.run_state or "fired" if self.outcome == "fired" else self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """One schedule.

    Attributes:
        cadence: As it was written; `cadence_words` says it in words.
        next_fires: The next ten; none while it is paused, or when no loaded module declares the job.
        overdue_seconds: How long a success is overdue: two cadences have passed without one; 0 if none is.
        ticks: The last ones, oldest first.
        on_time: Of these, the part from 0 to 1 whose run started in time; None without any. Paused ones do not count.
    """

    job: str
    queue: str
    cadence: str
    cadence_words: str
    interval_seconds: float
    declared: bool
    created_at: datetime
    paused_at: datetime | None
    paused_by: str | None
    last_start_at: datetime | None
    last_success_at: datetime | None
    last_completion_at: datetime | None
    last_duration_seconds: float | None
    last_state: str | None
    consecutive_failures: int
    next_fires: list[datetime] = field(default_factory=list)
    overdue_seconds: float = 0.0
    ticks: list[Tick] = field(default_factory=list)
    on_time: float | None = None


_STORED = tuple(
    name
    for name in ScheduleView.__slots__
    if name not in ("cadence_words", "next_fires", "overdue_seconds", "ticks", "on_time")
)


def listing(
    connection: Connection, *, now: datetime, everything: bool = False, ticks: int = 24, job: str | None = None
) -> list[ScheduleView]:
    """The declared schedules by name; with `everything` also those that no loaded module declares any more.

    Args:
        connection: A transaction on the ledger.
        now: The moment that fires are counted from.
        everything: Whether retired ones are wanted.
        ticks: How many of the last ticks of each.
        job: Only this one's.
    """
    cadences = {name: one.spec.cadence for name, one in all_jobs().items()}
    given = {"ticks": ticks, "everything": everything, "job": job}
    rows: dict[str, list[RowMapping]] = {}
    for row in connection.execute(_LIST, given).mappings():
        rows.setdefault(row["job"], []).append(row)
    return [_view(found, cadences.get(name), now) for name, found in rows.items()]


def one(connection: Connection, job: str, *, now: datetime, ticks: int = 100) -> ScheduleView:
    """One schedule with more of its past.

    Raises:
        NotFound: No schedule is called so.
    """
    found = listing(connection, now=now, everything=True, ticks=ticks, job=job)
    if not found:
        raise NotFound(f"No schedule is called {job!r}; `callboard schedules` lists them.")
    return found[0]


def _view(rows: list[RowMapping], cadence: Cadence | None, now: datetime) -> ScheduleView:
    row = rows[0]
    ticks = [_tick(one) for one in rows if one["scheduled_for"] is not None]
    stored: dict[str, Any] = {name: row[name] for name in _STORED}
    return ScheduleView(
        **stored,
        cadence_words=row["cadence"] if cadence is None else cadence.describe(),
        next_fires=[] if cadence is None or row["paused_at"] is not None else _fires(cadence, now),
        overdue_seconds=_overdue(row, cadence, now),
        ticks=ticks,
        on_time=_on_time(ticks, row["interval_seconds"]),
    )


def _tick(row: RowMapping) -> Tick:
    return Tick(**{name: row[name] for name in Tick.__slots__})


def _fires(cadence: Cadence, now: datetime) -> list[datetime]:
    fires = [cadence.after(now)]
    while len(fires) < _FIRES:
        fires.append(cadence.after(fires[-1]))
    return fires


def _overdue(row: RowMapping, cadence: Cadence | None, now: datetime) -> float:
    """By the cadence, not by twice an interval: nights and weekends may be left out of it."""
    if cadence is None or row["paused_at"] is not None:
        return 0.0
    last: datetime = row["last_success_at"] or row["created_at"]
    due = cadence.after(cadence.after(last))
    return max(0.0, (now - due).total_seconds())


def _on_time(ticks: list[Tick], interval: float) -> float | None:
    grace = max(_GRACE_SECONDS, interval / 10)
    counted = [tick for tick in ticks if tick.reason not in _MEANT and tick.run_state != "pending"]
    if not counted:
        return None
    punctual = sum(
        tick.run_started_at is not None and (tick.run_started_at - tick.scheduled_for).total_seconds() <= grace
        for tick in counted
    )
    return punctual / len(counted)
