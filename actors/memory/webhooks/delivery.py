"""The job `webhook.deliver`: one delivery to one endpoint.

Whatever goes wrong is written into the delivery first and told to the engine second, so that a run that died in between
and starts again finds what it did. The engine only waits and counts: how often and how long is the endpoint's to say.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from actors.memory.audit import AuditRow, audit
from actors.memory.settings import get_memory_settings
from actors.memory.webhooks import rows
from actors.memory.webhooks.call import Outcome, call, key_of
from actors.memory.webhooks.fanout import WebhookEvent, fan_out
from actors.memory.webhooks.replays import is_replay, replayed
from actors.memory.webhooks.turns import turns
from callboard import (
    Backoff,
    BreakerOpen,
    PermanentError,
    Postponed,
    TransientError,
    autocommit,
    breaker,
    current_run,
    job,
    transaction,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from actors.memory.webhooks.rows import Delivery

#: Between two attempts, whatever the server or its owner asks for: the last wait of Standard Webhooks' own schedule.
LONGEST_WAIT = 86_400.0
_JITTER = 0.25
_STEEPEST = 10.0
# A breaker stays open for 60 s; then one of those who come back probes the endpoint, and the others follow.
_LEFT_ALONE_SECONDS = (30.0, 75.0)
_LEFT_ALONE = "the endpoint's breaker is open"
_NO_SLOT = "no free slot"
_DISABLED = "webhook.disabled"


@job(
    "webhook.deliver",
    queue="webhooks",
    retry=Backoff(max_retries=50, base=0, cap=LONGEST_WAIT, jitter=0),
    time_limit=120,
    label="Deliver a webhook",
)
def deliver(delivery: str, webhook: str | None = None) -> None:
    """Send one webhook to its endpoint, again if it must be, and give it up in the end."""
    run, now = current_run(), datetime.now(UTC)
    number = rows.number_of(delivery)
    if number is None:
        raise PermanentError(f"{delivery!r} is no delivery; they are called wd_ and a number.")
    if webhook is not None:
        _require_hope(webhook, number, now)
    with autocommit() as connection:
        if is_replay(run):
            number = replayed(connection, number, run, now)
            run.note(delivery=rows.name_of(number))
        with rows.taken(connection, number, get_memory_settings()) as found:
            _deliver(connection, found, now)


def _require_hope(webhook: str, number: int, now: datetime) -> None:
    """What waits for a slow endpoint is much, and to look at each in the database would cost the other endpoints."""
    if breaker(key_of(webhook)).is_open:
        _postpone(number, random.uniform(*_LEFT_ALONE_SECONDS), _LEFT_ALONE, now)  # noqa: S311 - spread
    wait = turns.wait(webhook)
    if wait is not None:
        _postpone(number, wait, _NO_SLOT, now)


def _deliver(connection: Connection, delivery: Delivery | None, now: datetime) -> None:
    if delivery is None:
        current_run().note(state="deleted")
    elif not delivery.is_ours:
        _look_again(connection, delivery)
    elif not delivery.has_slot:
        slots = min(delivery.concurrency, get_memory_settings().webhook_concurrency)
        _postpone(delivery.id, turns.full(str(delivery.webhook_id), slots), _NO_SLOT, now)
    else:
        _send(connection, delivery, now)


def _look_again(connection: Connection, delivery: Delivery) -> None:
    """Another run is at it, or it has ended: by this very run, if that died before the engine knew."""
    if delivery.status == "dead_letter" and delivery.run_id == current_run().id:
        raise PermanentError(rows.last_error(connection, delivery))
    current_run().note(state=delivery.status)


def _send(connection: Connection, delivery: Delivery, now: datetime) -> None:
    try:
        outcome = call(delivery, get_memory_settings(), now)
    except BreakerOpen as error:
        _postpone(delivery.id, error.retry_after or 0.0, _LEFT_ALONE, now)
    turns.took(str(delivery.webhook_id), outcome.latency)
    if outcome.status is not None:
        current_run().note(http_status=outcome.status)
    _record(connection, delivery, outcome, datetime.now(UTC))


def _record(connection: Connection, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    run = current_run()
    if outcome.is_delivered:
        rows.delivered(connection, delivery, outcome, run_id=run.id, now=now)
    elif outcome.passing and delivery.attempt <= delivery.max_retries:
        after = max(backoff(delivery), min(outcome.after, LONGEST_WAIT))
        rows.retried(connection, delivery, outcome, after=after, now=now)
        raise TransientError(outcome.error, retry_after=after)
    else:
        _bury(delivery, outcome, now)
        raise PermanentError(outcome.error)


def _bury(delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    run, days = current_run(), get_memory_settings().webhook_disable_after_days
    since = now - timedelta(days=days) if days else None
    with transaction() as connection:
        why = rows.buried(connection, delivery, outcome, run_id=run.id, now=now, hopeless_since=since)
        if why is not None:
            _tell_of_end(connection, delivery, why)
    if why is not None:
        run.log.warning("webhook.disabled", webhook=str(delivery.webhook_id), tenant=str(delivery.tenant_id), why=why)


def _tell_of_end(connection: Connection, delivery: Delivery, why: str) -> None:
    """The tenant's auditors hear that a webhook was disabled, and so do its other webhooks."""
    told = {"webhook_id": str(delivery.webhook_id), "name": delivery.name, "reason": why}
    row = AuditRow(
        tenant_id=delivery.tenant_id, event_type=_DISABLED, resource_type="webhook", action="disable", payload=told
    )
    audit(connection, [row])
    fan_out(connection, deliver, [WebhookEvent(delivery.tenant_id, _DISABLED, told, rows.name_of(delivery.id))])


def _postpone(number: int, seconds: float, why: str, now: datetime) -> NoReturn:
    """Give the run back; one that has been waiting for long tells the poller that it still does."""
    until = now + timedelta(seconds=seconds)
    if until > current_run().created_at + rows.LOOKED_AFTER / 2:
        with autocommit() as connection:
            rows.look_after(connection, number, until)
    raise Postponed(seconds, why)


def backoff(delivery: Delivery) -> float:
    """Seconds until the next attempt, by what its endpoint's owner set: exponential, spread by a quarter."""
    steps = min(delivery.retry_factor, _STEEPEST) ** delivery.retry_count
    longest = LONGEST_WAIT / (1 + _JITTER)
    return min(delivery.retry_base * steps, longest) * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spread
