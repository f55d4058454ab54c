"""Queries on `board.claims`: who may be pending or running, one row per (job, scope), under a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts

# A claim changes hands when its run already has it, when its lease is over, or when its run has ended all the same.
_TAKE = text("""
insert into board.claims as c (job, scope, run_id, run_created_at, lease_until)
values (:job, :scope, :id, :created_at, now() + make_interval(secs => :lease))
on conflict (job, scope) do update
set run_id = excluded.run_id, run_created_at = excluded.run_created_at, claimed_at = now(),
    lease_until = excluded.lease_until
where c.run_id = excluded.run_id or c.lease_until < now() or not exists (
    select from board.runs r
    where r.id = c.run_id and r.created_at = c.run_created_at and r.state in ('pending', 'running'))
returning run_id
""")
_HOLDER = text("select run_id from board.claims where job = :job and scope = :scope")
_RELEASE = text("delete from board.claims where job = :job and scope = :scope and run_id = :id")
_RENEW = text("update board.claims set lease_until = now() + make_interval(secs => :lease) where run_id = any(:ids)")


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
