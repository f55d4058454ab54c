"""Queries for `concurrency` and `rate`: limits over the whole fleet, held by the ledger.

Concurrency counts the runs that are running; a dead worker's runs stop counting when the reaper takes them. The rate is
the generic cell rate algorithm (ITU-T I.371): one moment per job, moved on by `seconds / starts` at each start; a start
is too early while that moment lies more than one window ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts

# A message that finds all places taken looks again after this long.
_TAKEN_SECONDS = 0.5

_LOCK = text("select pg_advisory_xact_lock(hashtext('callboard.concurrency'), hashtext(:job))")
_RUNNING = text("select count(*) from board.runs where state = 'running' and job = :job and id <> :id")
_ARRIVE = text("""
insert into board.rates as r (job, arrival) values (:job, now() + make_interval(secs => :step))
on conflict (job) do update
set arrival = greatest(r.arrival, now()) + make_interval(secs => :step)
where greatest(r.arrival, now()) + make_interval(secs => :step) <= now() + make_interval(secs => :window)
returning job
""")
_AHEAD = text("""
select extract(epoch from arrival + make_interval(secs => :step) - make_interval(secs => :window) - now())
from board.rates where job = :job
""")


def wait(connection: Connection, facts: RunFacts) -> float:
    """Seconds until the run may try to start; 0 when it may now, and then its start is counted in."""
    if facts.concurrency is not None:
        connection.execute(_LOCK, {"job": facts.job})
        running = connection.execute(_RUNNING, {"job": facts.job, "id": facts.id}).scalar_one()
        if running >= facts.concurrency:
            return _TAKEN_SECONDS
    return 0.0 if facts.rate is None else _arrive(connection, facts.job, *facts.rate)


def _arrive(connection: Connection, job: str, starts: int, window: float) -> float:
    given = {"job": job, "step": window / starts, "window": window}
    if connection.execute(_ARRIVE, given).one_or_none() is not None:
        return 0.0
    return max(float(connection.execute(_AHEAD, given).scalar_one()), 0.05)
