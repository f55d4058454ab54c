"""Queries on `board.trends`: attempts by minute, job and outcome, as the growth of `board.totals`.

Counting runs by minute would read all of them; the totals are a few hundred rows, whatever the number of runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

# The first sample of all only sets the marks: what was counted before belongs to no minute.
_SAMPLE = text("""
with grown as materialized (
    select t.job, t.outcome, t.attempts, t.seconds,
           t.attempts - coalesce(m.attempts, 0) as more, t.seconds - coalesce(m.seconds, 0) as longer
    from (select job, outcome, sum(attempts) as attempts, sum(seconds) as seconds
          from board.totals group by job, outcome) t
    left join board.trend_marks m using (job, outcome)
    where m.attempts is distinct from t.attempts
), marked as (
    insert into board.trend_marks as m (job, outcome, attempts, seconds)
    select job, outcome, attempts, seconds from grown order by job, outcome
    on conflict (job, outcome) do update set attempts = excluded.attempts, seconds = excluded.seconds
)
insert into board.trends as r (at, job, outcome, attempts, seconds)
select date_trunc('minute', cast(:now as timestamptz)) + interval '1 minute', job, outcome, more, longer from grown
where more > 0 and exists (select from board.trend_marks)
on conflict (at, job, outcome) do update
set attempts = r.attempts + excluded.attempts, seconds = r.seconds + excluded.seconds
""")
_SERIES = text("""
select to_timestamp(ceil(extract(epoch from at) / :step) * :step) as at, outcome,
       sum(attempts) as attempts, sum(seconds) as seconds
from board.trends
where at > :since and (cast(:job as text) is null or job = :job)
group by 1, 2 order by 1, 2
""")
_PRUNE = text("delete from board.trends where at < now() - make_interval(days => :days)")


def sample(connection: Connection, now: datetime) -> None:
    """Add what was counted since the last sample to the minute of `now`."""
    connection.execute(_SAMPLE, {"now": now})


def series(connection: Connection, *, since: datetime, step: int = 60, job: str | None = None) -> Sequence[RowMapping]:
    """Attempts and their seconds by outcome and step, oldest first: rows of at, outcome, attempts, seconds.

    Args:
        connection: A transaction on the ledger.
        since: From when on.
        step: Seconds of one step, whose end `at` is; a multiple of 60.
        job: Only this one's.
    """
    return connection.execute(_SERIES, {"since": since, "step": step, "job": job}).mappings().all()


def prune(connection: Connection, *, days: int) -> int:
    """Delete minutes more than `days` ago. Returns how many rows."""
    return connection.execute(_PRUNE, {"days": days}).rowcount
