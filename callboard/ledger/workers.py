"""Queries on `board.workers`: who is alive, by a lease on the database's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

_REGISTER = text("""
insert into board.workers (id, host, pid, version, broker_id, queues, threads, lease_until)
values (:id, :host, :pid, :version, :broker_id, :queues, :threads, now() + make_interval(secs => :lease))
""")
_BEAT = text("""
update board.workers set heartbeat_at = now(), lease_until = now() + make_interval(secs => :lease), busy = :busy,
       queues = :queues
where id = :id and state in ('alive', 'draining') returning id
""")
_REVIVE = text("""
update board.workers set state = 'alive', heartbeat_at = now(), lease_until = now() + make_interval(secs => :lease)
where id = :id
""")
_STATE = text("update board.workers set state = :state, heartbeat_at = now() where id = :id")
_SILENT = text("""
select id, broker_id from board.workers where state in ('alive', 'draining') and lease_until < now()
""")
_DECLARE_DEAD = text("""
update board.workers set state = 'dead'
where id = any(:ids) and state in ('alive', 'draining') and lease_until < now() returning id, host, pid
""")
_FORGET = text(
    "delete from board.workers where state in ('stopped', 'dead') and heartbeat_at < now() - interval '1 day'"
)
_LIST = text("""
select *, extract(epoch from now() - heartbeat_at) as seconds_since_heartbeat
from board.workers where :everything or state in ('alive', 'draining') order by started_at
""")


def register(connection: Connection, *, lease: float, **row: Any) -> None:  # noqa: ANN401 - the columns of the table
    """Write the row of a worker process that begins: id, host, pid, version, broker_id, queues, threads."""
    connection.execute(_REGISTER, row | {"lease": lease})


def beat(connection: Connection, worker_id: UUID, *, lease: float, busy: int, queues: Sequence[str]) -> bool:
    """Renew the lease; False when the worker was declared dead meanwhile."""
    given = {"id": worker_id, "lease": lease, "busy": busy, "queues": list(queues)}
    return connection.execute(_BEAT, given).one_or_none() is not None


def revive(connection: Connection, worker_id: UUID, *, lease: float) -> None:
    """Take a worker back that was declared dead while it was frozen; what it ran before is fenced off."""
    connection.execute(_REVIVE, {"id": worker_id, "lease": lease})


def set_state(connection: Connection, worker_id: UUID, state: str) -> None:
    """Say that the worker drains, or has stopped."""
    connection.execute(_STATE, {"id": worker_id, "state": state})


def silent(connection: Connection) -> Sequence[RowMapping]:
    """Workers whose lease here is over, with their `broker_id`; they may live, if this database was away."""
    return connection.execute(_SILENT).mappings().all()


def declare_dead(connection: Connection, ids: Iterable[UUID]) -> Sequence[RowMapping]:
    """Declare workers dead, except those that have renewed their lease meanwhile; returns those that are dead now."""
    return connection.execute(_DECLARE_DEAD, {"ids": list(ids)}).mappings().all()


def forget(connection: Connection) -> int:
    """Delete the rows of workers that ended more than a day ago."""
    return connection.execute(_FORGET).rowcount


def listing(connection: Connection, *, everything: bool = False) -> Sequence[RowMapping]:
    """Workers that live; with `everything` also those that ended in the last day."""
    return connection.execute(_LIST, {"everything": everything}).mappings().all()
