"""The next rows of a destination, and what is kept of every attempt to send them.

Rows are read in the order of their transactions, and only those of transactions that began before every one that still
runs: no row can turn up later among or before them, whichever id it was given.

An attempt is written down before it is made. So a batch keeps its rows and its id, whatever was written or died since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from actors.memory.siem.destinations import Destination

_ROWS = text("""
select a.id, a.transaction_id, a.tenant_id, a.user_id, a.event_type, a.category, a.resource_type, a.action, a.status,
       host(a.ip_address) as ip_address, a.user_agent, a.payload_json, a.created_at
from memory.audit_logs a
where a.tenant_id = :tenant and (a.transaction_id, a.id) > (:after_transaction, :after_id)
  and a.transaction_id < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint and a.category = any(:categories)
order by a.transaction_id, a.id limit :limit
""")
_HELD_BACK = text("""
select exists (select from memory.audit_logs a
    where a.tenant_id = :tenant and (a.transaction_id, a.id) > (:after_transaction, :after_id)
      and a.category = any(:categories))
""")
_BEFORE = text("""
select batch_id, events, last_id from memory.siem_attempts
where destination_id = :destination and first_id = :first order by id desc limit 1
""")
_LETTER = text("""
select batch_id from memory.siem_dead_letters where destination_id = :destination and resolved_at is null
""")
_BEGIN = text("""
insert into memory.siem_attempts (destination_id, batch_id, first_id, last_id, events, attempt, latency_seconds,
                                  created_at)
select :destination, :batch, :first, :last, :events, count(*) + 1, 0, :now
from memory.siem_attempts where destination_id = :destination and batch_id = :batch
returning id, attempt
""")
_END = text("""
update memory.siem_attempts set http_status = :status, error = :error, latency_seconds = :seconds where id = :id
""")
_MOVE = text("""
update memory.siem_destinations
set cursor_transaction = :to_transaction, cursor_id = :to_id, last_success_at = :now
where id = :destination and (cursor_transaction, cursor_id) = (:transaction, :id)
""")
_RESOLVE = text("""
update memory.siem_dead_letters set resolved_at = :now, resolution = 'replayed'
where batch_id = :batch and resolved_at is null
""")
_GIVE_UP = text("""
insert into memory.siem_dead_letters (batch_id, destination_id, first_id, last_id, attempts, last_error, created_at)
values (:batch, :destination, :first, :last, :attempts, :error, :now)
on conflict (batch_id) do update
set attempts = excluded.attempts, last_error = excluded.last_error, resolved_at = null, resolution = null
""")
_LONGEST_ERROR = 1000


def batch_id(destination: UUID, first_id: int, last_id: int) -> UUID:
    """The same for the same rows to the same destination: UUIDv5 of the destination, first id and last id."""
    return uuid5(destination, f"{first_id}:{last_id}")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go out together; `attempt` is its number, from 1, and `attempt_id` its row."""

    id: UUID
    rows: Sequence[Any]
    attempt: int
    attempt_id: int

    @property
    def first_id(self) -> int:
        """Of the first row."""
        return int(self.rows[0].id)

    @property
    def last_id(self) -> int:
        """Of the last row."""
        return int(self.rows[-1].id)


def blocked_by(connection: Connection, destination: UUID) -> UUID | None:
    """The batch that was given up on, which all later ones wait for."""
    found: UUID | None = connection.execute(_LETTER, {"destination": destination}).scalar_one_or_none()
    return found


def begin(connection: Connection, destination: Destination, rows: Sequence[Any], *, now: datetime) -> Batch:
    """Write down an attempt to send the rows."""
    first, last = rows[0].id, rows[-1].id
    name = batch_id(destination.id, first, last)
    given = {"destination": destination.id, "batch": name, "first": first, "last": last, "events": len(rows)}
    written = connection.execute(_BEGIN, given | {"now": now}).one()
    return Batch(name, rows, written.attempt, written.id)


def next_rows(connection: Connection, destination: Destination, *, limit: int) -> Sequence[Any]:
    """At most `limit` rows that the destination has not got; just those of the batch if it was tried before."""
    given = _place(destination)
    rows = connection.execute(_ROWS, given | {"limit": limit}).all()
    if not rows:
        return rows
    before = connection.execute(_BEFORE, {"destination": destination.id, "first": rows[0].id}).one_or_none()
    if before is None:
        return rows
    if before.events > limit:
        rows = connection.execute(_ROWS, given | {"limit": before.events}).all()
    known = [row.id for row in rows]
    return rows[: known.index(before.last_id) + 1] if before.last_id in known else rows


def _place(destination: Destination) -> dict[str, Any]:
    transaction, after = destination.cursor
    return {
        "tenant": destination.tenant_id,
        "after_transaction": transaction,
        "after_id": after,
        "categories": destination.categories,
    }


def held_back(connection: Connection, destination: Destination) -> bool:
    """Whether there are rows that it has not got, if only behind a transaction that still runs."""
    return bool(connection.scalar(_HELD_BACK, _place(destination)))


def succeeded(
    connection: Connection, destination: Destination, batch: Batch, *, status: int, seconds: float, now: datetime
) -> bool:
    """The destination took the batch: move its cursor. False if somebody else has moved it meanwhile."""
    connection.execute(_END, {"id": batch.attempt_id, "status": status, "error": None, "seconds": seconds})
    transaction, after = destination.cursor
    to = {"to_transaction": batch.rows[-1].transaction_id, "to_id": batch.last_id, "now": now}
    given = {"destination": destination.id, "transaction": transaction, "id": after}
    connection.execute(_RESOLVE, {"batch": batch.id, "now": now})
    return connection.execute(_MOVE, to | given).rowcount == 1


def failed(connection: Connection, batch: Batch, *, status: int | None, error: str, seconds: float) -> None:
    """The destination did not take it."""
    told = {"status": status, "error": error[:_LONGEST_ERROR], "seconds": seconds}
    connection.execute(_END, told | {"id": batch.attempt_id})


def give_up(connection: Connection, destination: Destination, batch: Batch, *, error: str, now: datetime) -> None:
    """Make it a dead letter; the cursor stays before it."""
    given = {"batch": batch.id, "destination": destination.id, "first": batch.first_id, "last": batch.last_id}
    told = {"attempts": batch.attempt, "error": error[:_LONGEST_ERROR], "now": now}
    connection.execute(_GIVE_UP, given | told)
