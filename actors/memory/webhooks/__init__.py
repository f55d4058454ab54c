"""Webhooks: what happens in a tenant's memories is told to the endpoints that its owner registered.

    emit -> webhook_deliveries, one row for each webhook that an event matches -> webhook.deliver, one run a delivery
         -> the endpoint, signed as Standard Webhooks say -> delivered, or tried again, or a dead letter

A delivery is `wd_<id>`. The receiver's idempotency key is the header `webhook-id`, which is the same at every attempt
and in every replay: it may come more than once, and is to be acted on once.
"""

from __future__ import annotations

from actors.memory.webhooks.delivery import deliver
from actors.memory.webhooks.events import emit
from actors.memory.webhooks.fanout import WebhookEvent
from actors.memory.webhooks.poller import poll
from actors.memory.webhooks.registry import NewWebhook, disable, enable, forget_previous, register, rotate
from actors.memory.webhooks.sweep import webhook_retention

__all__ = [
    "NewWebhook",
    "WebhookEvent",
    "deliver",
    "disable",
    "emit",
    "enable",
    "forget_previous",
    "poll",
    "register",
    "rotate",
    "webhook_retention",
]
