"""Tables of the catalogue, in the Postgres schema `memory`.

tenants 1──n users 1──n memories 1──1 embeddings. A memory's life is in `memory_events`, `recalls` and `tombstones`.
connections 1──n sync_jobs, external_objects 1──n memory_candidates, which become memories. webhooks 1──n
webhook_deliveries 1──n webhook_attempts. `audit_logs` are forwarded to `siem_destinations`.
"""

from __future__ import annotations

from actors.memory.tables._schema import metadata
from actors.memory.tables.integrations import connections, external_objects, memory_candidates, sync_jobs
from actors.memory.tables.memories import (
    embeddings,
    insight_snapshots,
    memories,
    memory_events,
    recalls,
    tombstones,
    watermarks,
)
from actors.memory.tables.outgoing import (
    audit_logs,
    siem_attempts,
    siem_dead_letters,
    siem_destinations,
    webhook_attempts,
    webhook_dead_letters,
    webhook_deliveries,
    webhooks,
)
from actors.memory.tables.tenants import sessions, tenant_settings, tenant_tokens, tenants, users

__all__ = [
    "audit_logs",
    "connections",
    "embeddings",
    "external_objects",
    "insight_snapshots",
    "memories",
    "memory_candidates",
    "memory_events",
    "metadata",
    "recalls",
    "sessions",
    "siem_attempts",
    "siem_dead_letters",
    "siem_destinations",
    "sync_jobs",
    "tenant_settings",
    "tenant_tokens",
    "tenants",
    "tombstones",
    "users",
    "watermarks",
    "webhook_attempts",
    "webhook_dead_letters",
    "webhook_deliveries",
    "webhooks",
]
