"""Syncs that somebody asks for, besides those that are scheduled."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import text

from actors.memory.syncs.job import run_sync_job
from actors.memory.syncs.lost import reclaim
from callboard import DuplicateRun, NotFound, outbox

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Literal

    from sqlalchemy import Connection

_ADD = text("""
insert into memory.sync_jobs (id, connection_id, tenant_id, type, cursor, idempotency_key, created_at)
select :id, id, tenant_id, case when cursor is null or :type = 'FULL' then 'FULL' else :type end,
    case when :type = 'FULL' then null else cursor end, :key, :now
from memory.connections where id = :connection
on conflict do nothing returning id
""")
_THERE = text("""
select id, status = 'PENDING' as pending from memory.sync_jobs where idempotency_key = :key
union all
select id, status = 'PENDING' from memory.sync_jobs
where connection_id = :connection and status in ('PENDING', 'RUNNING')
limit 1
""")


def request_sync(
    connection: Connection,
    connection_id: UUID,
    *,
    type: Literal["FULL", "INCREMENTAL", "WEBHOOK"] = "INCREMENTAL",  # noqa: A002 - the column's name
    idempotency_key: str | None = None,
    now: datetime,
) -> UUID:
    """Ask for a sync of a connection, if the caller's transaction commits.

    Returns:
        The id of the sync job: a new one, that of the same key, or that which is under way already.

    Raises:
        NotFound: There is no such connection.
    """
    given = {"id": uuid4(), "connection": connection_id, "type": type, "key": idempotency_key, "now": now}
    made: UUID | None = connection.scalar(_ADD, given)
    there = None if made is not None else connection.execute(_THERE, given).one_or_none()
    if there is not None and there.pending and reclaim(connection, there.id, now):
        made = connection.scalar(_ADD, given)  # the one in the way was cancelled before it began, and is over now
    if made is not None:
        outbox.send(connection, run_sync_job, str(made))
        return made
    if there is None:
        raise NotFound(f"No connection {connection_id}: it was removed, or never made.")
    found: UUID = there.id
    return found


def run_of(connection: Connection, job_id: UUID) -> UUID:
    """The run of a sync job in flight; one that was cut off and has none gets another."""
    try:
        return outbox.send(connection, run_sync_job, str(job_id)).id
    except DuplicateRun as error:
        return error.existing
