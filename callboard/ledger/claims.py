"""Queries on `board.claims`: who may be pending or running, one row per (job, scope), under a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger.facts import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor

# A claim changes hands when its run already has it, when its run has ended all the same, or when its lease is over and
# its run does not run on a worker that nobody has declared dead: after an outage of ours all leases are over at first.
_TAKE = text("""
insert into board.claims as c (job, scope, run_id, run_created_at, lease_until)
values (:job, :scope, :id, :created_at, now() + make_interval(secs => :lease))
on conflict (job, scope) do update
set run_id = excluded.run_id, run_created_at = excluded.run_created_at, claimed_at = now(),
    lease_until = excluded.lease_until
where c.run_id = excluded.run_id or not exists (
    select from board.runs r
    where r.id = c.run_id and r.created_at = c.run_created_at and r.state in ('pending', 'running'))
or (c.lease_until < now() and not exists (
    select from board.runs r join board.workers w on w.id = r.worker_id
    where r.id = c.run_id and r.created_at = c.run_created_at and r.state = 'running'
      and w.state in ('alive', 'draining')))
returning run_id
""")
_HOLDER = text("select run_id from board.claims where job = :job and scope = :scope")
_RELEASE = text("delete from board.claims where job = :job and scope = :scope and run_id = :id")
_RENEW = text("""
with ours as materialized (
    select job, scope from board.claims where run_id = any(:ids) order by job, scope for update
)
update board.claims c set lease_until = now() + make_interval(secs => :lease)
from ours where c.job = ours.job and c.scope = ours.scope
""")

# Locked in the order of the key, as in `_RENEW`: no two transactions wait for each other.
_SETTLE = """
with g as materialized (
    select * from json_to_recordset(%(rows)s::json) as g (job text, scope text, run_id uuid, lease float8)
), ours as materialized (
    select c.job, c.scope, g.lease from board.claims c join g using (job, scope, run_id)
    order by c.job, c.scope for update of c
), given_back as (
    delete from board.claims c using ours where c.job = ours.job and c.scope = ours.scope and ours.lease is null
)
update board.claims c set lease_until = now() + make_interval(secs => ours.lease)
from ours where c.job = ours.job and c.scope = ours.scope and ours.lease is not null
"""


def take(connection: Connection, facts: RunFacts, *, lease: float) -> UUID | None:
    """Claim (job, scope) for a run, for `lease` seconds.

    Returns:
        None when the run holds the claim now, else the id of the run that holds it.
    """
    given = {"job": facts.job, "scope": facts.scope, "id": facts.id, "created_at": facts.created_at, "lease": lease}
    if connection.execute(_TAKE, given).one_or_none() is not None:
        return None
    holder: UUID | None = connection.execute(_HOLDER, given).scalar_one_or_none()
    return holder


def release(connection: Connection, job: str, scope: str, run_id: UUID) -> None:
    """Give the claim back, if the run still holds it."""
    connection.execute(_RELEASE, {"job": job, "scope": scope, "id": run_id})


def renew(connection: Connection, ids: Iterable[UUID], *, lease: float) -> None:
    """Lengthen the leases of running runs."""
    connection.execute(_RENEW, {"ids": list(ids), "lease": lease})


def settle(cursor: Cursor, *, over: Iterable[RunFacts], waiting: Iterable[tuple[RunFacts, float]]) -> None:
    """Give back the claims of runs that are over, and lengthen those of runs that wait to so many seconds from now."""
    rows: list[dict[str, object]] = [_key(facts) | {"lease": lease} for facts, lease in waiting]
    cursor.execute(_SETTLE, {"rows": dumps(rows + [_key(facts) for facts in over])})


def _key(facts: RunFacts) -> dict[str, object]:
    return {"job": facts.job, "scope": facts.scope, "run_id": facts.id}
