"""Webhooks for tests: a tenant, a receiver, and what the tables say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from actors.memory.webhooks import NewWebhook, WebhookEvent, emit, register
from actors.memory.webhooks.rows import name_of
from callboard import transaction
from sandbox.webhook_receiver import WebhookReceiver
from tests.integration.memory.kit import rows_of


@dataclass
class Hooks:
    """One tenant whose webhooks lead to one receiver."""

    tenant: UUID
    receiver: WebhookReceiver

    def add(self, name: str = "crm", *, url: str = "", **fields: Any) -> UUID:  # noqa: ANN401 - of NewWebhook and Fault
        """An endpoint of the receiver and a webhook that calls it."""
        known = {key: value for key, value in fields.items() if key in NewWebhook.__slots__}
        behaviour = {key: value for key, value in fields.items() if key not in known}
        endpoint = self.receiver.add(name, **behaviour)
        given = {"events": ["memory.created"], "secret": endpoint.secrets[0], **known}
        with transaction() as connection:
            webhook, _ = register(
                connection, NewWebhook(self.tenant, name, url or f"{self.receiver.url}{endpoint.path}", **given)
            )
        return webhook

    def emit(self, *keys: str, type: str = "memory.created", **fields: Any) -> list[str]:  # noqa: A002, ANN401 - of WebhookEvent
        """Tell of events; the names of all deliveries that there are now."""
        with transaction() as connection:
            emit(connection, [WebhookEvent(self.tenant, type, {"memory_id": key}, key, **fields) for key in keys])
        return [name_of(row["id"]) for row in rows_of("select id from memory.webhook_deliveries order by id")]


def delivery(name: str) -> dict[str, Any]:
    """The row of a delivery."""
    (row,) = rows_of("select * from memory.webhook_deliveries where id = :id", id=int(name.removeprefix("wd_")))
    return row


def attempts() -> list[tuple[int, int, int | None]]:
    """All attempts, oldest first: delivery, number, status."""
    rows = rows_of("select delivery_id, attempt, http_status from memory.webhook_attempts order by id")
    return [(row["delivery_id"], row["attempt"], row["http_status"]) for row in rows]


def letters() -> list[dict[str, Any]]:
    """All dead letters of the catalogue, oldest first."""
    return rows_of("select * from memory.webhook_dead_letters order by id")
