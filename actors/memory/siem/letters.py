"""Batches that were given up on: going on without one. Sending one again is a replay of `siem_forward_batch`."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text

from actors.memory.audit_rows import AuditRow, keep
from actors.memory.siem.at_once import forward_at_once
from callboard import NotFound, current_run, job, transaction

# The rows of the batch lie side by side in the order of reading; the last one is where the cursor goes.
_SKIP = text("""
with skipped as (
    update memory.siem_dead_letters set resolved_at = :now, resolution = 'skipped'
    where batch_id = :batch and resolved_at is null
    returning batch_id, destination_id, last_id
)
update memory.siem_destinations d set cursor_transaction = a.transaction_id, cursor_id = a.id
from skipped s join memory.audit_logs a on a.id = s.last_id
where d.id = s.destination_id and (d.cursor_transaction, d.cursor_id) < (a.transaction_id, a.id)
returning d.id, d.tenant_id
""")


@job("siem_skip_batch", queue="siem", single_per="batch", time_limit=60, label="Skip a batch of audit rows")
def siem_skip_batch(batch: str) -> None:
    """Go on without a batch of audit rows that a destination would not take."""
    run = current_run()
    now = datetime.now(UTC)
    with transaction() as connection:
        row = connection.execute(_SKIP, {"batch": UUID(batch), "now": now}).one_or_none()
        if row is None:
            raise NotFound(f"no batch {batch} waits for a decision; memory.siem_dead_letters has those that do.")
        told = AuditRow(
            tenant_id=row.tenant_id,
            event_type="siem.batch_skipped",
            resource_type="siem_destination",
            action="skip",
            payload={"batch_id": batch, "destination_id": str(row.id), "by": run.trigger},
        )
        keep(connection, [told])
        forward_at_once(connection, {row.tenant_id})
    run.count(skipped=1)
