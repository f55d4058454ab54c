"""Deliveries in the tables, and the slots that bound how many are under way.

A slot is an advisory lock of the session that delivers, so that it is free again when its process dies. There is one
for the delivery itself, `concurrency` for its endpoint, and `webhook_concurrency` for all together, over all workers.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from psycopg import Cursor
    from sqlalchemy import Connection

    from actors.memory.settings import MemorySettings
    from actors.memory.webhooks.call import Outcome

#: So long nobody sends another run for a delivery whose run is on its way.
LOOKED_AFTER = timedelta(minutes=15)

_PREFIX = "wd_"
_FREED = "webhooks.freed"
# CASE, unlike AND, says what is asked first; EXISTS stops at the first lock it gets.
_TAKE = """
with found as materialized (
    select d.id, d.webhook_id, d.event_id, d.event_type, d.payload_json, d.status, d.retry_count, d.run_id,
           w.tenant_id, w.name, w.url, w.active, w.disabled_reason, w.auth_header_name, w.auth_header_value, w.secret,
           w.previous_secret, coalesce(w.retry_base_seconds, %(base)s::float),
           coalesce(w.retry_factor, %(factor)s::float),
           coalesce(w.max_retries, %(retries)s::int), coalesce(w.concurrency, %(endpoint_slots)s::int) as concurrency,
           coalesce(w.timeout_seconds, %(timeout)s::float)
    from memory.webhook_deliveries d join memory.webhooks w on w.id = d.webhook_id where d.id = %(id)s
), own as materialized (
    select case when status in ('pending', 'retry')
           then pg_try_advisory_lock(hashtextextended('webhook.delivery ' || id, 0)) else false end as got from found
), place as materialized (
    select exists (
        select from generate_series(1, (select case when got then concurrency else 0 end from found, own)) as n
        where pg_try_advisory_lock(hashtextextended('webhook.endpoint ' || (select webhook_id from found) || n, 0))
    ) as got
), whole as materialized (
    select exists (
        select from generate_series(1, (select case when got then %(slots)s::int else 0 end from place)) as n
        where pg_try_advisory_lock(hashtextextended('webhook.slot ' || n, 0))
    ) as got
)
select found.*, own.got, whole.got from found, own, whole
"""
_RELEASE = "select pg_advisory_unlock_all()"

_ATTEMPT = """
insert into memory.webhook_attempts (delivery_id, attempt, http_status, error, latency_seconds, created_at)
select %(id)s::bigint, %(attempt)s::int, %(http_status)s::int, %(error)s::text, %(latency)s::float, %(now)s::timestamptz
"""
# The commit need not reach the disk: the run's own, which follows before its message is acknowledged, takes it along.
_DELIVERED = f"""
with attempt as ({_ATTEMPT}), well as (
    update memory.webhooks set failing_since = null where id = %(webhook_id)s and failing_since is not null
), ended as (
    update memory.webhook_deliveries
    set status = 'delivered', last_attempt_at = %(now)s, ended_at = %(now)s, scheduled_retry_at = null,
        run_id = %(run_id)s
    where id = %(id)s and status in ('pending', 'retry')
)
select set_config('synchronous_commit', 'off', true), pg_advisory_unlock_all()
"""  # noqa: S608 - constants only
_RETRY = f"""
with attempt as ({_ATTEMPT}), unwell as (
    update memory.webhooks set failing_since = %(now)s where id = %(webhook_id)s and failing_since is null
)
update memory.webhook_deliveries
set status = 'retry', retry_count = %(attempt)s, last_attempt_at = %(now)s, scheduled_retry_at = %(retry_at)s,
    looked_after_until = %(looked_after_until)s
where id = %(id)s and status in ('pending', 'retry')
"""  # noqa: S608 - constants only
_DEAD = f"""
with attempt as ({_ATTEMPT} where %(called)s), disabled as (
    update memory.webhooks
    set active = false, failing_since = coalesce(failing_since, %(now)s),
        disabled_reason = case when %(gone)s::boolean then %(error)s else
            'every attempt has failed since ' || to_char(failing_since at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
            || ', the last one: ' || %(error)s end
    where id = %(webhook_id)s and active and %(called)s
      and (%(gone)s::boolean or failing_since <= %(hopeless_since)s::timestamptz)
    returning disabled_reason
), unwell as (
    update memory.webhooks set failing_since = %(now)s
    where id = %(webhook_id)s and %(called)s and failing_since is null and not %(gone)s::boolean
), ended as (
    update memory.webhook_deliveries
    set status = 'dead_letter', last_attempt_at = case when %(called)s then %(now)s else last_attempt_at end,
        ended_at = %(now)s, scheduled_retry_at = null, run_id = %(run_id)s
    where id = %(id)s and status in ('pending', 'retry') returning *
), letter as (
    insert into memory.webhook_dead_letters (webhook_id, delivery_id, event_id, event_type, payload_json, last_error,
                                             last_status, attempts, created_at)
    select webhook_id, id, event_id, event_type, payload_json, %(error)s, %(http_status)s,
           retry_count + %(called)s::boolean::int, %(now)s
    from ended on conflict (delivery_id) do nothing
)
select disabled_reason from disabled
"""  # noqa: S608 - constants only
_LOOK_AFTER = """
update memory.webhook_deliveries set looked_after_until = %(until)s where id = %(id)s and looked_after_until < %(until)s
"""
_LAST_ERROR = "select last_error from memory.webhook_dead_letters where delivery_id = %(id)s"


class Delivery(NamedTuple):
    """A delivery and its endpoint. `is_ours`: open, and no other run is at it; `has_slot`: and it may be sent now."""

    id: int
    webhook_id: UUID
    event_id: str
    event_type: str
    payload_json: str
    status: str
    retry_count: int
    run_id: UUID | None
    tenant_id: UUID
    name: str
    url: str
    active: bool
    disabled_reason: str | None
    auth_header_name: str | None
    auth_header_value: bytes | None
    secret: bytes
    previous_secret: bytes | None
    retry_base: float
    retry_factor: float
    max_retries: int
    concurrency: int
    timeout: float
    is_ours: bool
    has_slot: bool

    @property
    def attempt(self) -> int:
        """Which one the next is, from 1."""
        return self.retry_count + 1


def name_of(delivery_id: int) -> str:
    """How people see a delivery."""
    return f"{_PREFIX}{delivery_id}"


def number_of(name: str) -> int | None:
    """The id of a delivery; None for what is no name of one."""
    digits = name.removeprefix(_PREFIX)
    return int(digits) if name.startswith(_PREFIX) and digits.isascii() and digits.isdigit() else None


@contextmanager
def taken(connection: Connection, delivery_id: int, settings: MemorySettings) -> Iterator[Delivery | None]:
    """A delivery with its slots, for as long as the block lasts; None if it was deleted with its webhook."""
    defaults = {
        "base": settings.webhook_retry_base_seconds,
        "factor": settings.webhook_retry_factor,
        "retries": settings.webhook_max_retries,
        "timeout": settings.webhook_timeout_seconds,
        "endpoint_slots": settings.webhook_endpoint_concurrency,
        "slots": settings.webhook_concurrency,
    }
    try:
        row = _run(connection, _TAKE, {"id": delivery_id, **defaults}).fetchone()
        yield None if row is None else Delivery(*row)
    finally:
        _release(connection)


def _release(connection: Connection) -> None:
    """Whatever happens, no connection goes back to its pool with a lock; one that was lost has none."""
    if connection.invalidated or connection.info.pop(_FREED, False):
        return
    try:
        _run(connection, _RELEASE)
    except BaseException:
        connection.invalidate()
        raise


def _run(connection: Connection, statement: str, given: Mapping[str, object] | None = None) -> Cursor[tuple[Any, ...]]:
    """By the driver, which prepares a statement that comes again: planning these takes longer than running them.

    SQLAlchemy's comment with the correlation id would make each of them a new one.
    """
    cursor = cast("Cursor[tuple[Any, ...]]", connection.connection.cursor())
    return cursor.execute(statement, given)


def delivered(connection: Connection, delivery: Delivery, outcome: Outcome, *, run_id: UUID, now: datetime) -> None:
    """Write down that the endpoint took it, and free its slots in the same round trip."""
    _run(connection, _DELIVERED, _attempt(delivery, outcome, now) | {"run_id": run_id})
    connection.info[_FREED] = True


def retried(connection: Connection, delivery: Delivery, outcome: Outcome, *, after: float, now: datetime) -> None:
    """Write down that it did not, and when it is tried again."""
    at = now + timedelta(seconds=after)
    given = {"retry_at": at, "looked_after_until": at + LOOKED_AFTER}
    _run(connection, _RETRY, _attempt(delivery, outcome, now) | given)


def buried(
    connection: Connection,
    delivery: Delivery,
    outcome: Outcome,
    *,
    run_id: UUID,
    now: datetime,
    hopeless_since: datetime | None,
) -> str | None:
    """Give the delivery up: a dead letter.

    Its webhook is disabled if the endpoint says that it is gone, or has taken nothing since `hopeless_since`.

    Returns:
        Why the webhook was disabled, by this; None if it was not.
    """
    given = {"run_id": run_id, "called": outcome.called, "gone": outcome.gone, "hopeless_since": hopeless_since}
    row = _run(connection, _DEAD, _attempt(delivery, outcome, now) | given).fetchone()
    return None if row is None else str(row[0])


def look_after(connection: Connection, delivery_id: int, until: datetime) -> None:
    """Its run comes back then, perhaps later than the poller would wait."""
    _run(connection, _LOOK_AFTER, {"id": delivery_id, "until": until + LOOKED_AFTER})


def last_error(connection: Connection, delivery: Delivery) -> str:
    """Why it was given up."""
    found = _run(connection, _LAST_ERROR, {"id": delivery.id}).fetchone()
    return "given up before" if found is None else str(found[0])


def _attempt(delivery: Delivery, outcome: Outcome, now: datetime) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "attempt": delivery.attempt,
        "http_status": outcome.status,
        "error": outcome.error or None,
        "latency": outcome.latency,
        "now": now,
    }
