"""Queries on `board.schedules` and `board.occurrences`: every due tick gets a row that says what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.ledger.facts import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.wire import Cursor

_DECLARE = text("""
insert into board.schedules as s (job, queue, cadence, interval_seconds, watermark)
values (:job, :queue, :cadence, :interval_seconds, :now)
on conflict (job) do update
set queue = excluded.queue, interval_seconds = excluded.interval_seconds, declared = true, cadence = excluded.cadence,
    watermark = case when s.declared and s.cadence = excluded.cadence then s.watermark else excluded.watermark end
""")
_RETIRE = text("update board.schedules set declared = false where declared and not job = any(:jobs)")
_LOCK = text("select watermark, paused_at from board.schedules where job = :job for update")
_ADVANCE = text("update board.schedules set watermark = :watermark where job = :job")
_OCCURRENCES = text("""
insert into board.occurrences (job, scheduled_for, outcome, reason, coalesced_into, run_id)
select :job, unnest(cast(:times as timestamptz[])), :outcome, :reason, :into, :run_id
on conflict (job, scheduled_for) do nothing
""")
_ENDED = text("""
update board.schedules
set last_completion_at = now(), last_state = :outcome, last_duration_seconds = :seconds, last_records = null,
    last_success_at = case :outcome when 'success' then now() else last_success_at end,
    consecutive_failures = case :outcome when 'success' then 0 when 'failed' then consecutive_failures + 1
                           else consecutive_failures end
where job = :job
""")
_HOLD = "select job from board.schedules where job = any(%(jobs)s) order by job for update"
_STARTED = "update board.schedules set last_start_at = now() where job = any(%(jobs)s)"
_ENDED_MANY = """
with g as materialized (
    select * from json_to_recordset(%(rows)s::json)
        as g (job text, outcome text, seconds float8, records float8, succeeded boolean, failures integer)
), held as materialized (
    select job from board.schedules join g using (job) order by job for update of schedules
)
update board.schedules s
set last_completion_at = now(), last_state = g.outcome, last_duration_seconds = g.seconds, last_records = g.records,
    last_success_at = case when g.succeeded then now() else s.last_success_at end,
    consecutive_failures = case when g.succeeded then 0 else s.consecutive_failures end + g.failures
from g join held using (job)
where s.job = g.job
"""
_PAUSE = text("""
update board.schedules set paused_at = coalesce(paused_at, now()), paused_by = coalesce(paused_by, :by)
where job = :job returning job
""")
_RESUME = text("update board.schedules set paused_at = null, paused_by = null where job = :job returning job")
_LIST = text("""
select s.*, o.outcomes
from board.schedules s
left join lateral (
    select array_agg(outcome order by scheduled_for) as outcomes from (
        select scheduled_for, outcome from board.occurrences where job = s.job
        order by scheduled_for desc limit 20) last
) o on true
where s.declared or :everything order by s.job
""")
_HISTORY = text("""
select * from board.occurrences where job = :job order by scheduled_for desc limit :limit
""")
_MISSED = text("""
update board.schedules
set missed = jsonb_set(missed, array[:reason], to_jsonb(coalesce((missed ->> :reason)::bigint, 0) + :ticks))
where job = :job
""")
_PRUNE = text("delete from board.occurrences where recorded_at < now() - make_interval(days => :days)")


def declare(connection: Connection, rows: Sequence[dict[str, Any]], *, now: datetime) -> None:
    """Make the table hold just the declared schedules: rows of job, queue, cadence, interval_seconds.

    A new one, or one with a new cadence, counts its ticks from `now`; one that is gone keeps its row and history.
    """
    if rows:
        connection.execute(_DECLARE, [row | {"now": now} for row in rows])
    connection.execute(_RETIRE, {"jobs": [row["job"] for row in rows]})


def lock(connection: Connection, job: str) -> tuple[datetime, bool] | None:
    """Lock a schedule for this transaction: `(watermark, paused)`, or None if it was never declared."""
    row = connection.execute(_LOCK, {"job": job}).one_or_none()
    return None if row is None else (row.watermark, row.paused_at is not None)


def advance(connection: Connection, job: str, watermark: datetime) -> None:
    """Remember that every tick up to `watermark` was dealt with."""
    connection.execute(_ADVANCE, {"job": job, "watermark": watermark})


def record(
    connection: Connection,
    job: str,
    times: Iterable[datetime],
    outcome: str,
    *,
    reason: str | None = None,
    into: datetime | None = None,
    run_id: UUID | None = None,
) -> int:
    """Write what became of the ticks at `times`; one that has its row keeps it. Returns how many were written."""
    given = {"job": job, "times": list(times), "outcome": outcome, "reason": reason, "into": into, "run_id": run_id}
    written = connection.execute(_OCCURRENCES, given).rowcount
    if written and outcome != "fired":
        connection.execute(_MISSED, {"job": job, "reason": reason or "scheduler_down", "ticks": written})
    return written


def ended(connection: Connection, job: str, *, outcome: str, seconds: float) -> None:
    """A run of the schedule's job has ended for good, after `seconds`."""
    connection.execute(_ENDED, {"job": job, "outcome": outcome, "seconds": seconds})


def hold(cursor: Cursor, jobs: Iterable[str]) -> None:
    """Lock these jobs' schedules, before any claim is taken: the ticker holds one while it claims and inserts a run."""
    cursor.execute(_HOLD, {"jobs": list(jobs)})


def started(cursor: Cursor, jobs: Iterable[str]) -> None:
    """Runs of these schedules' jobs have begun."""
    cursor.execute(_STARTED, {"jobs": list(jobs)})


def ended_many(cursor: Cursor, ended: Iterable[tuple[str, str, float, float]]) -> None:
    """Runs of schedules' jobs have ended for good, in this order: job, outcome, seconds, sum of their counts."""
    rows: dict[str, dict[str, Any]] = {}
    for job, outcome, seconds, records in ended:
        row = rows.setdefault(job, {"job": job, "succeeded": False, "failures": 0})
        row |= {"outcome": outcome, "seconds": seconds, "records": records}
        if outcome == "success":
            row |= {"succeeded": True, "failures": 0}
        elif outcome == "failed":
            row["failures"] += 1
    cursor.execute(_ENDED_MANY, {"rows": dumps(list(rows.values()))})


def pause(connection: Connection, job: str, *, by: str) -> bool:
    """Stop a schedule from firing; False if there is none."""
    return connection.execute(_PAUSE, {"job": job, "by": by}).one_or_none() is not None


def resume(connection: Connection, job: str) -> bool:
    """Let a paused schedule fire again; False if there is none."""
    return connection.execute(_RESUME, {"job": job}).one_or_none() is not None


def listing(connection: Connection, *, everything: bool = False) -> Sequence[RowMapping]:
    """The declared schedules with the outcomes of their last 20 ticks; with `everything` the retired ones too."""
    return connection.execute(_LIST, {"everything": everything}).mappings().all()


def history(connection: Connection, job: str, *, limit: int = 20) -> Sequence[RowMapping]:
    """The last ticks of a schedule, newest first."""
    return connection.execute(_HISTORY, {"job": job, "limit": limit}).mappings().all()


def prune(connection: Connection, *, days: int) -> int:
    """Delete the rows of ticks recorded more than `days` ago. Returns how many."""
    return connection.execute(_PRUNE, {"days": days}).rowcount
