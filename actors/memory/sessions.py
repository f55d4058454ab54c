"""The job `cleanup_expired_sessions`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.settings import MemorySettings, get_memory_settings
from callboard import Backoff, cron, current_run, job, transaction

if TYPE_CHECKING:
    from callboard import Run

_DELETE = text("""
delete from memory.sessions where expires_at < :now and id = any(array(
    select id from memory.sessions where expires_at < :now order by expires_at limit :size))
""")


@job(
    "cleanup_expired_sessions",
    queue="maintenance",
    cadence=cron("40 * * * *"),
    retry=Backoff(max_retries=3, base=60),
    time_limit=600,
    label="Delete expired sessions",
)
def cleanup_expired_sessions() -> None:
    """Delete sign-ins that have expired; a revoked one stays until then, to recognise its token."""
    delete_expired(current_run(), get_memory_settings(), datetime.now(UTC))


def delete_expired(run: Run, settings: MemorySettings, now: datetime) -> None:
    """Delete sessions that expired before `now`, a batch in each transaction."""
    run.count(deleted=0)
    deleted = settings.cleanup_batch
    while deleted == settings.cleanup_batch and not run.cancelled:
        with transaction() as connection:
            deleted = connection.execute(_DELETE, {"now": now, "size": settings.cleanup_batch}).rowcount
        run.count(deleted=deleted)
    if not run.counts["deleted"]:
        run.quiet()
