"""The job `audit_log_retention`: audit rows that have had their time, except those that a SIEM has yet to get."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import Backoff, cron, current_run, job, transaction

if TYPE_CHECKING:
    from callboard import Run

# "offset 0" keeps the planner from looking for the highest id backwards through all younger rows: it uses the index on
# the time, and reads little more than what is deleted then.
_LAST = text("""
select coalesce(max(id), 0) from (select id from memory.audit_logs where created_at < :cutoff offset 0) old
""")
# A row is old enough by its own time: ids are handed out before rows are committed. The cursor of a destination says
# up to which row it got all that it wants of its tenant's.
_DELETE = text("""
with looked as materialized (
    select a.id, a.created_at < :cutoff as is_old, exists (
            select from memory.siem_destinations d
            where d.tenant_id = a.tenant_id and d.active
                and (d.cursor_transaction, d.cursor_id) < (a.transaction_id, a.id)
        ) as is_awaited
    from memory.audit_logs a where a.id > :after and a.id <= :last order by a.id limit :size
), gone as (
    delete from memory.audit_logs where id in (select id from looked where is_old and not is_awaited) returning id
)
select max(id) as last, count(*) filter (where is_old) as scanned, (select count(*) from gone) as deleted,
    count(*) filter (where is_old and is_awaited) as kept_for_siem
from looked
""")


@job(
    "audit_log_retention",
    queue="maintenance",
    cadence=cron("30 2 * * *"),
    retry=Backoff(max_retries=3, base=300),
    time_limit=1800,
    label="Delete old audit rows",
)
def audit_log_retention() -> None:
    """Delete audit rows older than a year that every destination of their tenant has got."""
    delete_old(current_run(), get_memory_settings(), datetime.now(UTC))


def delete_old(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Delete what is too old at `now`; days are of 24 hours."""
    run.count(scanned=0, deleted=0, kept_for_siem=0)
    cutoff = now - timedelta(days=settings.audit_retention_days)
    with transaction() as connection:
        last = connection.execute(_LAST, {"cutoff": cutoff}).scalar_one()
    after: int | None = -1
    while after is not None and not run.cancelled:
        bounds = {"cutoff": cutoff, "after": after, "last": last, "size": settings.cleanup_batch}
        with transaction() as connection:
            row = dict(connection.execute(_DELETE, bounds).mappings().one())
        after = row.pop("last")
        run.count(**row)
        if after is not None:
            run.progress(after, last, f"row {after} of {last}")
    if not run.counts["deleted"]:
        run.quiet()
