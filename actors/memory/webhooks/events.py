"""Telling webhooks of events."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from actors.memory.webhooks.delivery import deliver
from actors.memory.webhooks.fanout import WebhookEvent, fan_out, send_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def emit(connection: Connection, events: Sequence[WebhookEvent]) -> int:
    """Tell of events, if the caller's transaction commits; the runs that deliver them leave after it.

    An event that was told of before is not told of again, whatever has changed in it. Costs one statement where no
    webhook matches.

    Returns:
        How many deliveries there will be.
    """
    return fan_out(connection, deliver, events)


def send_test(connection: Connection, webhook: UUID, tenant: UUID) -> UUID:
    """Send `webhook.test` to one webhook, as any event is sent. Returns the id of the run that delivers it."""
    event = WebhookEvent(tenant, "webhook.test", {"webhook_id": str(webhook)}, key=str(uuid4()))
    return send_to(connection, deliver, webhook, event)
