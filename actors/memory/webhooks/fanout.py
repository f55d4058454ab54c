"""Events become deliveries: one row for each webhook that matches, in the caller's transaction.

The job that delivers is given, as it tells of an event itself: that a webhook was disabled.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

import orjson
from sqlalchemy import TIMESTAMP, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from actors.memory.webhooks.rows import LOOKED_AFTER, name_of
from callboard import outbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from callboard import Job

_ANY = "*"
_AS_TOLD = orjson.OPT_UTC_Z
_NAMESPACE = UUID("6a3d5e0e-6a52-5a0c-9f0e-1f6a7f3c9b11")

_WEBHOOKS = text("""
select id, tenant_id, project_id, event_types from memory.webhooks
where active and tenant_id = any(:tenants) and event_types && :types
""").bindparams(bindparam("tenants", type_=ARRAY(Uuid)), bindparam("types", type_=ARRAY(Text)))
_INSERT = text("""
insert into memory.webhook_deliveries (webhook_id, event_id, event_type, payload_json, looked_after_until)
select n.*, :until from unnest(:webhooks, :events, :types, :payloads) as n
on conflict (webhook_id, event_id) where replay_of is null do nothing
returning id, webhook_id
""").bindparams(
    bindparam("webhooks", type_=ARRAY(Uuid)),
    bindparam("events", type_=ARRAY(Text)),
    bindparam("types", type_=ARRAY(Text)),
    bindparam("payloads", type_=ARRAY(Text)),
    bindparam("until", type_=TIMESTAMP(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something that happened.

    Args:
        tenant_id: To whom.
        type: Dotted, e.g. `memory.created`.
        data: What is told of it: ids and labels, never a text of a memory; preferably under 20 kB as JSON.
        key: What makes it this event and no other, within the tenant and the type, e.g. a memory's id.
        project_id: A webhook of a project hears only of this project's events; one without hears of all.
        at: When; the present by default.
    """

    tenant_id: UUID
    type: str
    data: dict[str, Any]
    key: str
    project_id: UUID | None = None
    at: datetime | None = None

    @property
    def id(self) -> str:
        """The header `webhook-id`: the same for the same tenant, type and key."""
        return f"msg_{uuid5(_NAMESPACE, f'{self.tenant_id}:{self.type}:{self.key}')}"


class _Delivery(NamedTuple):
    webhook: UUID
    event: str
    type: str
    payload: str


class _Webhook(NamedTuple):
    id: UUID
    project: UUID | None
    types: frozenset[str]

    def wants(self, event: WebhookEvent) -> bool:
        return not self.types.isdisjoint((event.type, _ANY)) and self.project in (None, event.project_id)


def fan_out(connection: Connection, deliver: Job[Any, Any], events: Sequence[WebhookEvent]) -> int:
    """`actors.memory.webhooks.emit`, by a job that takes the names of a delivery and of its webhook."""
    if not events:
        return 0
    webhooks = _matching(connection, events)
    rows = list(_rows(events, webhooks)) if webhooks else []
    return len(_write(connection, deliver, rows)) if rows else 0


def send_to(connection: Connection, deliver: Job[Any, Any], webhook: UUID, event: WebhookEvent) -> UUID:
    """Tell one webhook of an event, whatever it asked for. Returns the id of the run that delivers it."""
    (run,) = _write(connection, deliver, [_Delivery(webhook, event.id, event.type, _payload(event))])
    return run


def _matching(connection: Connection, events: Sequence[WebhookEvent]) -> dict[UUID, list[_Webhook]]:
    asked = {
        "tenants": list({event.tenant_id for event in events}),
        "types": [_ANY, *{event.type for event in events}],
    }
    found: dict[UUID, list[_Webhook]] = defaultdict(list)
    for row in connection.execute(_WEBHOOKS, asked):
        found[row.tenant_id].append(_Webhook(row.id, row.project_id, frozenset(row.event_types)))
    return found


def _rows(events: Sequence[WebhookEvent], webhooks: dict[UUID, list[_Webhook]]) -> Iterable[_Delivery]:
    for event in events:
        wanting = [one.id for one in webhooks.get(event.tenant_id, ()) if one.wants(event)]
        payload = _payload(event) if wanting else ""
        for webhook in wanting:
            yield _Delivery(webhook, event.id, event.type, payload)


def _payload(event: WebhookEvent) -> str:
    at = (event.at or datetime.now(UTC)).astimezone(UTC)
    return orjson.dumps({"type": event.type, "timestamp": at, "data": event.data}, option=_AS_TOLD).decode()


def _write(connection: Connection, deliver: Job[Any, Any], rows: Sequence[_Delivery]) -> list[UUID]:
    webhooks, events, types, payloads = (list(column) for column in zip(*rows, strict=True))
    until = datetime.now(UTC) + LOOKED_AFTER
    given = {"webhooks": webhooks, "events": events, "types": types, "payloads": payloads, "until": until}
    made = connection.execute(_INSERT, given).all()
    sent = outbox.send_many(connection, deliver, [(name_of(row.id), str(row.webhook_id)) for row in made])
    return [run.id for run in sent]
