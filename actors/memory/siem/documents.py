"""Audit rows as the destinations want them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from actors.memory.siem.destinations import Destination

#: Severity to Datadog's status.
_STATUS = {"info": "info", "warning": "warning", "high": "error"}
# Datadog cuts a log at 1 MB; a payload that comes near is left out, so that the rest of the document stays whole.
_LONGEST_PAYLOAD = 900_000
# Datadog drops without a word what is older than 18 hours: an old row gets a younger timestamp, and keeps `created_at`.
_OLDEST = timedelta(hours=17)


def severity(row: Any) -> str:  # noqa: ANN401 - a row of memory.audit_logs
    """`high` of security, `warning` of what failed, else `info`."""
    if row.category == "security":
        return "high"
    return "warning" if row.status == "failure" else "info"


def event(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of memory.audit_logs
    """One row."""
    payload = row.payload_json
    if len(orjson.dumps(payload)) > _LONGEST_PAYLOAD:
        payload = {"left_out": "more than 900 kB"}
    return {
        "id": row.id,
        "tenant_id": row.tenant_id,
        "user_id": row.user_id,
        "event_type": row.event_type,
        "category": row.category,
        "resource_type": row.resource_type,
        "action": row.action,
        "status": row.status,
        "severity": severity(row),
        "ip_address": row.ip_address,
        "user_agent": row.user_agent,
        "payload": payload,
        "created_at": row.created_at,
    }


def splunk(destination: Destination, batch: UUID, rows: Sequence[Any]) -> bytes:
    """One JSON event a line, as the HTTP Event Collector takes them; `time` is in seconds."""
    common: dict[str, Any] = {
        "host": destination.option("host", "callboard"),
        "source": destination.option("source", "memory.audit_logs"),
        "sourcetype": destination.option("sourcetype", "_json"),
        "fields": {"batch_id": str(batch)},
    }
    if destination.options.get("index"):
        common["index"] = destination.option("index", "")
    lines = [{"time": round(row.created_at.timestamp(), 3), **common, "event": event(row)} for row in rows]
    return b"\n".join(orjson.dumps(line, option=orjson.OPT_UTC_Z) for line in lines)


def datadog(destination: Destination, batch: UUID, rows: Sequence[Any], *, now: datetime) -> bytes:
    """A JSON array of logs; `ddtags` are env, service and event type, `timestamp` is in milliseconds."""
    service, env = destination.option("service", "callboard"), destination.option("env", "production")
    logs = [
        {
            "ddsource": destination.option("source", "callboard"),
            "ddtags": f"env:{env},service:{service},event-type:{row.event_type}",
            "hostname": destination.option("host", "callboard"),
            "service": service,
            "status": _STATUS[severity(row)],
            "timestamp": int(max(row.created_at, now - _OLDEST).timestamp() * 1000),
            "message": f"{row.event_type} {row.status}",
            "batch_id": str(batch),
            "audit": event(row),
        }
        for row in rows
    ]
    return orjson.dumps(logs, option=orjson.OPT_UTC_Z)


def custom(batch: UUID, rows: Sequence[Any]) -> bytes:
    """A webhook whose data are the batch id, the count and the events; the same bytes for the same batch."""
    data = {"batch_id": batch, "count": len(rows), "events": [event(row) for row in rows]}
    document = {"type": "audit.batch", "timestamp": rows[-1].created_at, "data": data}
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)
