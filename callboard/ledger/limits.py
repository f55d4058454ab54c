"""Queries for `concurrency` and `rate`: limits over the whole fleet, held by the ledger.

Concurrency counts the runs that are running; a dead worker's runs stop counting when the reaper takes them. The rate is
the generic cell rate algorithm (ITU-T I.371): one moment per job, moved on by `seconds / starts` at each start; a start
is too early while that moment lies more than one window ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from callboard.ledger.facts import dumps
from callboard.ledger.rows import INTO, TOLD, VALUES, told
from callboard.ledger.seal import seal

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts

# A message that finds all places taken looks again after this long.
_TAKEN_SECONDS = 0.5
# Nor does one that may start at once look again sooner than this.
_SOON_SECONDS = 0.05

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

# A run that had no row yet gets one: people see that it waits, and for what. Nothing is written if it says so already.
_TELL = text(f"""
with known as materialized (
    select reason from board.runs where id = :id and created_at = :created_at
), changed as (
    update board.runs set reason = :reason
    where id = :id and created_at = :created_at and state = 'pending' and reason is distinct from :reason
      and exists (select from known where reason is distinct from :reason)
)
insert into board.runs ({INTO}, delivery, payload, state, reason)
select {VALUES}, :delivery, cast(:payload as bytea), 'pending', :reason
from json_to_recordset(cast(:rows as json)) as told ({TOLD})
where not exists (select from known)
on conflict (id, created_at) do nothing
""")  # noqa: S608 - constants only


class Wait(NamedTuple):
    """Seconds until a run may try again to start, and the limit that it is over, as the run's row says it."""

    seconds: float
    reason: str


def wait(connection: Connection, facts: RunFacts) -> Wait | None:
    """What the run has to wait for; None when it may start now, and then its start is counted in."""
    if facts.concurrency is not None:
        connection.execute(_LOCK, {"job": facts.job})
        running = connection.execute(_RUNNING, {"job": facts.job, "id": facts.id}).scalar_one()
        if running >= facts.concurrency:
            return Wait(_TAKEN_SECONDS, f"limit: concurrency {facts.concurrency}")
    return None if facts.rate is None else _arrive(connection, facts.job, *facts.rate)


def tell(connection: Connection, facts: RunFacts, reason: str) -> None:
    """Write into the row of a run why it waits, and write the row if there is none."""
    given = {"id": facts.id, "created_at": facts.created_at, "reason": reason, "delivery": facts.delivery or None}
    payload = seal(facts.payload) if facts.durable else None
    connection.execute(_TELL, given | {"payload": payload, "rows": dumps([told(facts)])})


def _arrive(connection: Connection, job: str, starts: int, window: float) -> Wait | None:
    given = {"job": job, "step": window / starts, "window": window}
    if connection.execute(_ARRIVE, given).one_or_none() is not None:
        return None
    ahead = float(connection.execute(_AHEAD, given).scalar_one())
    return Wait(max(ahead, _SOON_SECONDS), f"limit: rate {starts} in {window:g} s")
