"""Audit rows as they are kept: who did what to which thing. Write them by `actors.memory.audit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

#: The category of an event, by the first word of its type; of all others it is `data`.
CATEGORIES: Mapping[str, str] = {
    "session": "auth",
    "user": "auth",
    "api_key": "security",
    "webhook": "security",
    "connection": "security",
    "siem": "security",
    "legal_hold": "security",
    "tenant": "org",
    "team": "org",
    "billing": "org",
    "api": "api",
}

_INSERT = text("""
insert into memory.audit_logs (tenant_id, user_id, event_type, category, resource_type, action, status, ip_address,
                               user_agent, payload_json, created_at)
select tenant_id, user_id, event_type, category, resource_type, action, status, ip_address, user_agent, payload,
       coalesce(at, now())
from json_to_recordset(cast(:rows as json)) as g (
    tenant_id uuid, user_id uuid, event_type text, category text, resource_type text, action text, status text,
    ip_address inet, user_agent text, payload jsonb, at timestamptz)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One act.

    Args:
        tenant_id: Whose it concerns.
        event_type: Dotted, e.g. `memory.create`.
        resource_type: What was acted upon, e.g. `memory`.
        action: What was done, e.g. `create`.
        category: auth, security, data, org or api; by the event's type unless it is given, see `CATEGORIES`.
        user_id: Who did it; None for the system.
        status: success or failure.
        ip_address: Where from.
        user_agent: By what.
        payload: Ids and labels, never a text of a memory.
        at: When; the transaction's time by default.
    """

    tenant_id: UUID
    event_type: str
    resource_type: str
    action: str
    category: str = ""
    user_id: UUID | None = None
    status: str = "success"
    ip_address: str | None = None
    user_agent: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None


def keep(connection: Connection, rows: Sequence[AuditRow]) -> int:
    """Write the rows in the caller's transaction, by one statement. Returns how many.

    Raises:
        sqlalchemy.exc.IntegrityError: A category or status is none, or the tenant is unknown.
    """
    if rows:
        connection.execute(_INSERT, {"rows": orjson.dumps([_told(row) for row in rows]).decode()})
    return len(rows)


def category_of(row: AuditRow) -> str:
    """Its own, or that of its event's type."""
    return row.category or CATEGORIES.get(row.event_type.partition(".")[0], "data")


def _told(row: AuditRow) -> dict[str, Any]:
    return {
        "tenant_id": row.tenant_id,
        "user_id": row.user_id,
        "event_type": row.event_type,
        "category": category_of(row),
        "resource_type": row.resource_type,
        "action": row.action,
        "status": row.status,
        "ip_address": row.ip_address,
        "user_agent": row.user_agent,
        "payload": dict(row.payload),
        "at": row.at,
    }
