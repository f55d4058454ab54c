"""The job `webhook.poll`: deliveries that nobody looks after get a run.

Nearly all have had one since the transaction that made them. What is left are rows that something else wrote, and those
whose run was cancelled, or gave up waiting for its turn.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.settings import get_memory_settings
from actors.memory.webhooks.delivery import deliver
from actors.memory.webhooks.rows import LOOKED_AFTER, name_of
from callboard import Backoff, current_run, every, job, outbox, transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAKE_UP = text("""
update memory.webhook_deliveries set looked_after_until = :until
where id in (
    select id from memory.webhook_deliveries
    where status in ('pending', 'retry') and coalesce(looked_after_until, scheduled_retry_at, '-infinity') <= :now
    order by id limit :limit for update skip locked
)
returning id, webhook_id
""")


@job(
    "webhook.poll",
    queue="memory",
    cadence=every(seconds=5),
    retry=Backoff(max_retries=3, base=5),
    time_limit=60,
    label="Look for webhooks to deliver",
)
def poll() -> None:
    """Send a run for each webhook delivery that has none."""
    run = current_run()
    made = take_up(datetime.now(UTC), get_memory_settings().webhook_poll_limit)
    run.count(queued=len(made))
    if not made:
        run.quiet()


def take_up(now: datetime, limit: int) -> Sequence[int]:
    """Send runs for at most `limit` deliveries that are due and have none; returns their ids."""
    with transaction() as connection:
        given = {"now": now, "until": now + LOOKED_AFTER, "limit": limit}
        due = connection.execute(_TAKE_UP, given).all()
        outbox.send_many(connection, deliver, [(name_of(row.id), str(row.webhook_id)) for row in due])
    return [row.id for row in due]
