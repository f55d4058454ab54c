"""The job `siem_forwarding_job`: which destinations have rows to get, and one run for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

from actors.memory.settings import get_memory_settings
from actors.memory.siem.destinations import waiting
from actors.memory.siem.forward import siem_forward_batch
from callboard import Backoff, DuplicateRun, breaker, cron, current_run, job, transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_MARK = "siem_attempts"
# Attempts of this moment may still be without an end: their rows are counted by the next tick, which begins at them.
_SINCE = text("""
with before as (
    select coalesce((select position from memory.watermarks where name = :mark), 0) as position
), ended as (
    select id, events, http_status between 200 and 299 and error is null as well
    from memory.siem_attempts
    where id > (select position from before)
      and id < coalesce((select min(id) from memory.siem_attempts
                         where id > (select position from before) and http_status is null and error is null
                           and created_at > now() - interval '10 minutes'), 9223372036854775807)
), moved as (
    insert into memory.watermarks (name, position) select :mark, max(id) from ended having max(id) is not null
    on conflict (name) do update set position = excluded.position, updated_at = now()
)
select coalesce(sum(events) filter (where well), 0) as forwarded, count(*) filter (where not well or well is null)
       as failed from ended
""")


@job(
    "siem_forwarding_job",
    queue="siem",
    cadence=cron("*/5 * * * *"),
    retry=Backoff(max_retries=3, base=15),
    time_limit=120,
    label="Forward audit rows",
)
def siem_forwarding_job() -> None:
    """Have audit rows forwarded to every destination that has not got them yet."""
    run = current_run()
    run.count(destinations=0, batches=0, forwarded=0, failed=0, breaker_open=0)
    if not get_memory_settings().siem_enabled:
        run.quiet()
        return
    with transaction() as connection:
        found = waiting(connection)
        forwarded, failed = _since_last_time(connection)
    run.count(destinations=len(found), forwarded=forwarded, failed=failed)
    for destination in found:
        if run.cancelled:
            return
        if destination.waiting and not destination.blocked:
            _ask(destination.id)
    if not any(run.counts[name] for name in ("batches", "forwarded", "failed", "breaker_open")):
        run.quiet()


def _ask(name: UUID) -> None:
    """One run for the destination, unless its breaker is open or one is on its way."""
    run = current_run()
    if breaker(f"siem:{name}").is_open:
        run.count(breaker_open=1)
        return
    try:
        siem_forward_batch.send(destination=str(name))
    except DuplicateRun:
        logger.debug("siem.on_its_way", destination=str(name))
    else:
        run.count(batches=1)


def _since_last_time(connection: Connection) -> tuple[int, int]:
    """Rows forwarded, and attempts failed, since this was asked last."""
    row = connection.execute(_SINCE, {"mark": _MARK}).one()
    return int(row.forwarded), int(row.failed)
