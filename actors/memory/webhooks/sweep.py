"""The job `webhook_retention`: what was delivered is forgotten after a while; dead letters and replays never are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import Backoff, cron, current_run, job, transaction

if TYPE_CHECKING:
    from callboard import Run

_LAST = text("select coalesce(max(id), 0) from memory.webhook_deliveries")
_DELETE = text("""
with looked as materialized (
    select id, status = 'delivered' and replay_of is null and ended_at < :cutoff as is_old
    from memory.webhook_deliveries where id > :after and id <= :last order by id limit :size
), gone as (
    delete from memory.webhook_deliveries where id in (select id from looked where is_old) returning id
)
select max(id) as last, count(*) as scanned, (select count(*) from gone) as deleted from looked
""")


@job(
    "webhook_retention",
    queue="maintenance",
    cadence=cron("45 2 * * *"),
    retry=Backoff(max_retries=3, base=300),
    time_limit=1800,
    label="Forget delivered webhooks",
)
def webhook_retention() -> None:
    """Delete what was delivered a month ago, with its attempts."""
    sweep(current_run(), get_memory_settings(), datetime.now(UTC))


def sweep(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Delete what is old enough at `now`; days are of 24 hours."""
    run.count(scanned=0, deleted=0)
    cutoff = now - timedelta(days=settings.webhook_retention_days)
    with transaction() as connection:
        last = connection.execute(_LAST).scalar_one()
    after: int | None = 0
    while after is not None and not run.cancelled:
        bounds = {"cutoff": cutoff, "after": after, "last": last, "size": settings.cleanup_batch}
        with transaction() as connection:
            row = dict(connection.execute(_DELETE, bounds).mappings().one())
        after = row.pop("last")
        run.count(**row)
        if after is not None:
            run.progress(after, last, f"delivery {after} of {last}")
    if not run.counts["deleted"]:
        run.quiet()
