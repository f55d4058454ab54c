"""What leaves the house: audit rows and the systems they are forwarded to, webhooks and their deliveries."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from actors.memory.tables._schema import metadata, one_of, tenant, time

AUDIT_CATEGORIES = ("auth", "security", "data", "org", "api")
DESTINATION_KINDS = ("splunk", "datadog", "custom")
DELIVERY_STATES = ("pending", "retry", "delivered", "dead_letter")

#: `transaction_id` is the writing transaction's: ids are handed out before rows are committed, so a reader goes by
#: (transaction_id, id), and takes only rows of transactions that began before every one that still runs.
audit_logs = Table(
    "audit_logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    tenant(),
    Column("user_id", Uuid),
    Column("event_type", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("resource_type", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'success'")),
    Column("ip_address", INET),
    Column("user_agent", Text),
    Column("payload_json", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column(
        "transaction_id",
        BigInteger,
        nullable=False,
        server_default=text("(pg_current_xact_id()::text)::bigint"),
    ),
    time("created_at", required=True),
    one_of("category", AUDIT_CATEGORIES),
    one_of("status", ("success", "failure")),
    Index("audit_logs_tenant_idx", "tenant_id", "transaction_id", "id"),
)
Index("audit_logs_created_idx", audit_logs.c.created_at, postgresql_using="brin")

#: (`cursor_transaction`, `cursor_id`) is the last audit row that the destination took; `token` is sealed.
siem_destinations = Table(
    "siem_destinations",
    metadata,
    Column("id", Uuid, primary_key=True),
    tenant(),
    Column("kind", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("options", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="sourcetype, index, service…"),
    Column("categories", ARRAY(Text), nullable=False, server_default=text("'{auth,security,data,org,api}'")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("cursor_transaction", BigInteger, nullable=False, server_default=text("0")),
    Column("cursor_id", BigInteger, nullable=False, server_default=text("0")),
    time("last_success_at"),
    time("created_at", required=True),
    one_of("kind", DESTINATION_KINDS),
)

siem_attempts = Table(
    "siem_attempts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("destination_id", Uuid, ForeignKey("memory.siem_destinations.id", ondelete="CASCADE"), nullable=False),
    Column("batch_id", Uuid, nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("http_status", Integer),
    Column("error", Text),
    Column("latency_seconds", Float, nullable=False),
    time("created_at", required=True),
    Index("siem_attempts_batch_idx", "destination_id", "batch_id"),
)

#: A batch that was given up on. The cursor stays before it until somebody replays or skips it: order is kept.
siem_dead_letters = Table(
    "siem_dead_letters",
    metadata,
    Column("batch_id", Uuid, primary_key=True),
    Column("destination_id", Uuid, ForeignKey("memory.siem_destinations.id", ondelete="CASCADE"), nullable=False),
    Column("first_id", BigInteger, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    time("created_at", required=True),
    time("resolved_at"),
    Column("resolution", Text, comment="replayed or skipped"),
    one_of("resolution", ("replayed", "skipped")),
)

#: `secret` and `auth_header_value` are sealed; `previous_secret` signs too while the owner changes over.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Uuid, primary_key=True),
    tenant(),
    Column("project_id", Uuid),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text), nullable=False, comment="e.g. memory.created; * is any"),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("disabled_reason", Text),
    time("failing_since", comment="every attempt since then has failed"),
    Column("auth_header_name", Text),
    Column("auth_header_value", LargeBinary),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("retry_base_seconds", Float, comment="null, here and below: as the catalogue's settings say"),
    Column("retry_factor", Float),
    Column("max_retries", Integer),
    Column("concurrency", Integer),
    Column("timeout_seconds", Float),
    time("created_at", required=True),
    Index("webhooks_tenant_idx", "tenant_id", postgresql_where=text("active")),
)

#: Shown as `wd_<id>`; one for each webhook that an event matches, and one for each replay. The receiver's idempotency
#: key is `event_id`, which a replay keeps.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("webhook_id", Uuid, ForeignKey("memory.webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Text, nullable=False, comment="msg_…, the header webhook-id"),
    Column("event_type", Text, nullable=False),
    Column("payload_json", Text, nullable=False, comment="as it is signed and sent"),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("retry_count", Integer, nullable=False, server_default=text("0")),
    Column("replay_of", BigInteger, comment="the dead letter that it replays"),
    Column("run_id", Uuid, comment="the run that ended it"),
    time("last_attempt_at"),
    time("scheduled_retry_at"),
    time("looked_after_until", comment="until when a run is on its way; then the poller sends another"),
    time("created_at", required=True),
    time("ended_at"),
    one_of("status", DELIVERY_STATES),
    Index("webhook_deliveries_open_idx", "id", postgresql_where=text("status IN ('pending', 'retry')")),
    Index(
        "webhook_deliveries_event_key",
        "webhook_id",
        "event_id",
        unique=True,
        postgresql_where=text("replay_of IS NULL"),
    ),
    Index("webhook_deliveries_replay_key", "replay_of", unique=True, postgresql_where=text("replay_of IS NOT NULL")),
)

webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column(
        "delivery_id",
        BigInteger,
        ForeignKey("memory.webhook_deliveries.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("attempt", Integer, nullable=False),
    Column("http_status", Integer),
    Column("error", Text),
    Column("latency_seconds", Float, nullable=False),
    time("created_at", required=True),
)

#: Kept for ever.
webhook_dead_letters = Table(
    "webhook_dead_letters",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("webhook_id", Uuid, nullable=False, index=True),
    Column("delivery_id", BigInteger, nullable=False, unique=True),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload_json", Text, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("last_status", Integer),
    Column("attempts", Integer, nullable=False),
    time("created_at", required=True),
    time("replayed_at"),
    Column("replayed_by", Text),
)
