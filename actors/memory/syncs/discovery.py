"""The job `process_scheduled_syncs`: connections that are due get a sync job, and jobs without a run are found."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.syncs.cadence import next_sync, wall_clock, zone_of
from actors.memory.syncs.job import run_sync_job
from actors.memory.syncs.lost import reclaim
from callboard import Backoff, Run, cron, current_run, job, outbox, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

_BATCH = 200
_START = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

_DUE = text("""
select c.id, c.tenant_id, c.frequency, c.next_scheduled_sync, c.sync_at, t.timezone,
    exists (select from memory.sync_jobs j where j.connection_id = c.id and j.status in ('PENDING', 'RUNNING')) as busy
from memory.connections c
join memory.tenants t on t.id = c.tenant_id and t.deleted_at is null
join memory.users u on u.id = c.user_id and u.deleted_at is null
where c.status = 'active' and c.next_scheduled_sync <= :now and (c.next_scheduled_sync, c.id) > (:after, :id)
order by c.next_scheduled_sync, c.id limit :size
for update of c skip locked
""")
_IN_FLIGHT = text("""
select tenant_id, count(*) as number from memory.sync_jobs
where status in ('PENDING', 'RUNNING') and tenant_id = any(:tenants) group by tenant_id
""").bindparams(bindparam("tenants", type_=ARRAY(Uuid)))
_MOVE = text("update memory.connections set next_scheduled_sync = :next, sync_at = :at where id = :connection")
_ADD = text("""
insert into memory.sync_jobs (id, connection_id, tenant_id, type, scheduled_for, cursor, created_at)
select :id, id, tenant_id, case when cursor is null then 'FULL' else 'INCREMENTAL' end, :scheduled, cursor, :now
from memory.connections where id = :connection
on conflict (connection_id) where status in ('PENDING', 'RUNNING') do nothing returning id
""")
_OLD = text("""
select id from memory.sync_jobs
where status in ('PENDING', 'RUNNING') and created_at < :now and id > :id order by id limit :size
""")


@job(
    "process_scheduled_syncs",
    queue="syncs",
    cadence=cron("*/5 * * * *"),
    retry=Backoff(max_retries=3, base=30),
    time_limit=240,
    label="Dispatch scheduled syncs",
)
def process_scheduled_syncs() -> None:
    """Start a sync for every connection that is due."""
    discover(current_run(), get_memory_settings(), datetime.now(UTC))


def discover(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Dispatch what is due at `now`; a connection whose last sync is under way, or whose tenant has enough, waits."""
    run.count(due=0, dispatched=0, skipped_in_flight=0, deferred_cap=0)
    found = _reclaim_all(now)
    after: tuple[datetime, UUID] | None = _START
    while after is not None and not run.cancelled:
        with transaction() as connection:
            due = connection.execute(_DUE, {"now": now, "after": after[0], "id": after[1], "size": _BATCH}).all()
            counts = _dispatch_all(connection, due, settings.sync_tenant_limit, now)
        run.count(due=len(due), **counts)
        after = (due[-1].next_scheduled_sync, due[-1].id) if len(due) == _BATCH else None
    if not found and not run.counts["due"]:
        run.quiet()


def _dispatch_all(connection: Connection, due: Sequence[Row[Any]], limit: int, now: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    tenants = {"tenants": list({row.tenant_id for row in due})}
    in_flight = Counter({row.tenant_id: row.number for row in connection.execute(_IN_FLIGHT, tenants)})
    for row in due:
        if row.busy:
            counts["skipped_in_flight"] += 1
        elif in_flight[row.tenant_id] >= limit:
            counts["deferred_cap"] += 1
        elif _dispatch(connection, row, now):
            in_flight[row.tenant_id] += 1
            counts["dispatched"] += 1
        else:
            counts["skipped_in_flight"] += 1
    return counts


def _dispatch(connection: Connection, row: Row[Any], now: datetime) -> bool:
    """False if somebody asked for a sync of this connection just now; it stays due."""
    scheduled, zone = row.next_scheduled_sync, zone_of(row.timezone)
    given = {"id": uuid4(), "connection": row.id, "scheduled": scheduled, "now": now}
    made = connection.execute(_ADD, given).scalar()
    if made is None:
        return False
    at = row.sync_at or wall_clock(scheduled, zone)
    following = next_sync(row.frequency, scheduled, now=now, zone=zone, at=at)
    connection.execute(_MOVE, {"connection": row.id, "next": following, "at": at})
    outbox.send(connection, run_sync_job, str(made))
    return True


def _reclaim_all(now: datetime) -> int:
    """How many jobs in flight had no run."""
    after, found = UUID(int=0), 0
    while True:
        with transaction() as connection:
            old = connection.scalars(_OLD, {"now": now, "id": after, "size": _BATCH}).all()
            found += sum(reclaim(connection, job_id, now) for job_id in old)
        if len(old) < _BATCH:
            return found
        after = old[-1]
