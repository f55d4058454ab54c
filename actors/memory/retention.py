"""The job `retention_enforcement_job`: memories that have had their time, from archive to tombstone.

    active              -> archived             archive_at has passed, where the tenant keeps an archive
    active, archived    -> soft_deleted         retention_expires_at or expires_at has passed; the grace begins
    soft_deleted        -> hard_delete_pending  hard_delete_at has passed
    hard_delete_pending -> purged               the vector goes, then the row; tombstone, events, audit row stay

One step a run, and each state lasts half a day or more, so that it can be seen, and a run that is repeated makes no
second step. A legal hold pauses what deletes. What comes back with an old backup although it has a tombstone is purged
again. Each step takes only rows that are still in the state it starts from.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

from actors.memory.audit import AuditRow, audit
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.tables.memories import DUE
from actors.memory.webhooks import WebhookEvent, emit
from callboard import Backoff, Run, cron, current_run, job, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_IS_DUE = f"{DUE} <= :now and (retention_changed_at is null or retention_changed_at <= :settled)"
_TOTAL = text(f"select count(*) from memory.memories where {_IS_DUE}")  # noqa: S608 - put together from constants

# Found by the index, then locked in the order of their ids, as all jobs here do. `next` is null where a memory has
# left its state meanwhile, or has no time of hard deletion and is still within its grace.
_STEP = text(f"""
with due as materialized (
    select {DUE} as due, id from memory.memories
    where {_IS_DUE} and ({DUE}, id) > (cast(:due as timestamptz), :id)
    order by {DUE}, id limit :size
), looked as materialized (
    select m.id, m.tenant_id, m.retention_status as was, m.legal_hold, grace, case
            when m.retention_status = 'active' and m.archive_at <= :now and coalesce(m.expires_at > :now, true)
                then 'archived'
            when m.retention_status in ('active', 'archived')
                and (m.retention_expires_at <= :now or m.expires_at <= :now) then 'soft_deleted'
            when m.retention_status = 'soft_deleted'
                and coalesce(m.hard_delete_at, m.deleted_at + grace, m.created_at) <= :now then 'hard_delete_pending'
            when m.retention_status = 'hard_delete_pending' then 'purged'
        end as next
    from memory.memories m left join memory.tenant_settings s on s.tenant_id = m.tenant_id
        cross join lateral make_interval(secs => 86400 * coalesce(s.grace_days, :grace_days)) as grace
    where m.id in (select id from due) order by m.id for no key update of m
), steps as materialized (
    select * from looked where next = 'archived' or next is not null and not legal_hold
), moved as (
    update memory.memories m set retention_status = s.next, retention_changed_at = :now,
        deleted_at = case s.next when 'soft_deleted' then :now else m.deleted_at end,
        hard_delete_at = case s.next when 'soft_deleted' then greatest(m.hard_delete_at, :now + s.grace)
            else m.hard_delete_at end,
        deletion_method = case s.next when 'archived' then m.deletion_method
            else coalesce(m.deletion_method, 'retention_policy') end
    from steps s where m.id = s.id and s.next <> 'purged'
    returning m.id, m.tenant_id, m.user_id, m.project_id, m.environment, m.deletion_method, s.was, s.next
), told as (
    insert into memory.memory_events (memory_id, tenant_id, event_type, source, payload, created_at)
    select id, tenant_id, case next when 'soft_deleted' then 'memory.deleted' else 'memory.' || next end,
        'retention_enforcement_job',
        jsonb_strip_nulls(jsonb_build_object('from', was, 'to', next, 'deletion_method', deletion_method)), :now
    from moved order by id
)
select (select row_to_json(last) from (
        select d.due::text, d.id from due d order by d.due desc, d.id desc limit 1) last) as last,
    (select json_build_object(
        'scanned', count(*), 'held', count(*) filter (where legal_hold and next <> 'archived')) from looked) as seen,
    (select json_build_object(
        'archived', count(*) filter (where next = 'archived'),
        'soft_deleted', count(*) filter (where next = 'soft_deleted'),
        'hard_delete_pending', count(*) filter (where next = 'hard_delete_pending')) from moved) as moved,
    (select array_agg(id) from steps where next = 'purged') as purged,
    (select json_agg(json_build_object('id', id, 'tenant_id', tenant_id, 'user_id', user_id, 'project_id', project_id,
        'environment', environment, 'deletion_method', deletion_method) order by id)
        from moved where next = 'soft_deleted'
            and tenant_id in (select tenant_id from memory.webhooks where active)) as deleted
""")  # noqa: S608 - see above

_RETURNED = text("""
select m.id from memory.tombstones t
join memory.memories m on m.id = t.memory_id and m.user_id = t.user_id and m.content_hash = t.content_hash
where not m.legal_hold and m.id > :after order by m.id limit :size for no key update of m
""")
# One statement: these rows are locked, and others wait for each round trip. What a memory was made
# from says the same; its hash stays, so that the same input does not come in again.
_PURGE = text("""
with vectors as (
    delete from memory.embeddings where memory_id = any(:ids)
), emptied as (
    update memory.memory_candidates set content_ciphertext = '' where memory_id = any(:ids)
), gone as (
    delete from memory.memories where id = any(:ids)
    returning id, tenant_id, user_id, content_hash, retention_status as was,
        coalesce(deletion_method, 'retention_policy') as deletion_method
), buried as (
    insert into memory.tombstones (memory_id, tenant_id, user_id, content_hash, deletion_method, purged_at)
    select id, tenant_id, user_id, content_hash, deletion_method, :now from gone
    on conflict (memory_id) do update set purged_at = excluded.purged_at
), told as (
    insert into memory.memory_events (memory_id, tenant_id, event_type, source, payload, created_at)
    select id, tenant_id, 'memory.purged', 'retention_enforcement_job',
        jsonb_build_object('from', was, 'to', 'purged', 'deletion_method', deletion_method), :now
    from gone order by id
)
select id, tenant_id, deletion_method from gone order by id
""")


@job(
    "retention_enforcement_job",
    queue="maintenance",
    cadence=cron("0 2 * * *"),
    retry=Backoff(max_retries=3, base=300),
    time_limit=3600,
    label="Enforce retention",
)
def retention_enforcement() -> None:
    """Archive, delete and purge memories that have had their time."""
    enforce(current_run(), get_memory_settings(), datetime.now(UTC))


def enforce(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Make the steps that are due at `now`; `held` are those that a legal hold keeps from being deleted."""
    run.count(scanned=0, archived=0, soft_deleted=0, hard_delete_pending=0, purged=0, held=0)
    _purge_returned(run, settings, now)
    _step(run, settings, now)
    if sum(run.counts.values()) == run.counts["scanned"] + run.counts["held"]:
        run.quiet()


def _purge_returned(run: Run, settings: MemorySettings, now: datetime) -> None:
    after = -1
    while not run.cancelled:
        with transaction() as connection:
            chosen = {"after": after, "size": settings.lifecycle_batch}
            ids = list(connection.scalars(_RETURNED, chosen))
            _purge(connection, ids, now)
        run.count(scanned=len(ids), purged=len(ids))
        if len(ids) < settings.lifecycle_batch:
            return
        after = ids[-1]


def _step(run: Run, settings: MemorySettings, now: datetime) -> None:
    rules: dict[str, Any] = {
        "now": now,
        "settled": now - timedelta(hours=settings.retention_step_hours),
        "grace_days": settings.grace_days,
        "size": settings.lifecycle_batch,
    }
    with transaction() as connection:
        total = connection.execute(_TOTAL, rules).scalar_one()
    last, done = {"due": "-infinity", "id": 0}, 0
    while last is not None and not run.cancelled:
        with transaction() as connection:
            part = connection.execute(_STEP, {**rules, **last}).mappings().one()
            _purge(connection, part["purged"] or [], now)
            emit(connection, [_deleted(memory, now) for memory in part["deleted"] or []])
        run.count(**part["seen"], **part["moved"], purged=len(part["purged"] or []))
        done += part["seen"]["scanned"]
        run.progress(done, max(done, total), f"{done} of {total} memories that are due")
        last = part["last"]


def _purge(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    if ids:
        gone = connection.execute(_PURGE, {"ids": list(ids), "now": now})
        audit(connection, [_audited(now, *row) for row in gone])


def _audited(now: datetime, memory_id: int, tenant_id: UUID, deletion_method: str) -> AuditRow:
    return AuditRow(
        tenant_id=tenant_id,
        event_type="memory.purge",
        resource_type="memory",
        action="purge",
        payload={"memory_id": memory_id, "deletion_method": deletion_method},
        at=now,
    )


def _deleted(memory: dict[str, Any], now: datetime) -> WebhookEvent:
    """A memory that was restored and is deleted anew is another event."""
    return WebhookEvent(
        tenant_id=UUID(memory["tenant_id"]),
        type="memory.deleted",
        data={name: value for name, value in memory.items() if name != "tenant_id"},
        key=f"{memory['id']} {now.isoformat()}",
        project_id=UUID(memory["project_id"]) if memory["project_id"] else None,
        at=now,
    )
