"""Queries on `board.claims`: who may be pending or running, one row per (job, scope), under a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger.facts import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor

# A new claim, or one that the run has already. Whatever the answer, the row is locked from here on: whoever else wants
# it waits, and the statements that follow see what the one before us has written. In one statement they would not: it
# would see the other's claim, which it waited for, and not the other's run, which was not there when it began.
_HAND_OUT = """
on conflict (job, scope) do update
set run_created_at = excluded.run_created_at, claimed_at = now(), lease_until = excluded.lease_until
where c.run_id = excluded.run_id
returning run_id
"""
# A claim changes hands when its run has ended all the same, or when its lease is over and its run does not run on a
# worker that nobody has declared dead: after an outage of ours all leases are over at first.
_MAY_CHANGE = """
(not exists (
    select from board.runs r
    where r.id = c.run_id and r.created_at = c.run_created_at and r.state in ('pending', 'running'))
or (c.lease_until < now() and not exists (
    select from board.runs r join board.workers w on w.id = r.worker_id
    where r.id = c.run_id and r.created_at = c.run_created_at and r.state = 'running'
      and w.state in ('alive', 'draining'))))
"""
_TAKE = text(f"""
insert into board.claims as c (job, scope, run_id, run_created_at, lease_until)
values (:job, :scope, :id, :created_at, now() + make_interval(secs => :lease))
{_HAND_OUT}
""")  # noqa: S608 - constants only
_TAKE_OVER = text(f"""
update board.claims c
set run_id = :id, run_created_at = :created_at, claimed_at = now(),
    lease_until = now() + make_interval(secs => :lease)
where c.job = :job and c.scope = :scope and {_MAY_CHANGE} returning run_id
""")  # noqa: S608 - constants only
_WANTED = "json_to_recordset(cast(:rows as json)) as g (job text, scope text, run_id uuid, created_at timestamptz)"
_TAKE_MANY = text(f"""
insert into board.claims as c (job, scope, run_id, run_created_at, lease_until)
select job, scope, run_id, created_at, now() + make_interval(secs => :lease) from {_WANTED} order by job, scope
{_HAND_OUT}
""")  # noqa: S608 - constants only
_TAKE_OVER_MANY = text(f"""
update board.claims c
set run_id = g.run_id, run_created_at = g.created_at, claimed_at = now(),
    lease_until = now() + make_interval(secs => :lease)
from {_WANTED}
where c.job = g.job and c.scope = g.scope and c.run_id <> g.run_id and {_MAY_CHANGE} returning c.run_id
""")  # noqa: S608 - constants only
_HOLDERS = text(f"select g.run_id, c.run_id as holder from {_WANTED} join board.claims c using (job, scope)")  # noqa: S608 - constants only
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
    if any(connection.execute(step, given).one_or_none() is not None for step in (_TAKE, _TAKE_OVER)):
        return None
    holder: UUID | None = connection.execute(_HOLDER, given).scalar_one_or_none()
    return holder


def take_many(connection: Connection, many: Sequence[RunFacts], *, lease: float) -> dict[UUID, UUID]:
    """Claim (job, scope) for each of many runs, the first of those that want the same one.

    Returns:
        For each run that did not get it, the id of the run that holds it.
    """
    first: dict[tuple[str, str], RunFacts] = {}
    for facts in many:
        first.setdefault((facts.job, facts.scope), facts)
    rows = dumps([_key(facts) | {"created_at": facts.created_at} for facts in first.values()])
    taken = set(connection.execute(_TAKE_MANY, {"rows": rows, "lease": lease}).scalars())
    if len(taken) < len(first):
        taken |= set(connection.execute(_TAKE_OVER_MANY, {"rows": rows, "lease": lease}).scalars())
    if len(taken) == len(many):
        return {}
    holders: dict[UUID, UUID] = {row.run_id: row.holder for row in connection.execute(_HOLDERS, {"rows": rows})}
    refused: dict[UUID, UUID] = {}
    for facts in many:
        own = first[facts.job, facts.scope].id
        holder = holders.get(own, own)  # as `take` has it: one that was given back just now is free
        if holder != facts.id:
            refused[facts.id] = holder
    return refused


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
