"""Tenants, their users, what they set otherwise than the catalogue's settings, and their sign-ins."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET

from actors.memory.tables._schema import metadata, one_of, tenant, time, user

PLANS = ("free", "pro", "enterprise")
SESSION_TYPES = ("web", "api", "mobile", "cli")
DAYS = (
    "hot_to_warm_days",
    "warm_to_cold_days",
    "archive_after_days",
    "archive_window_days",
    "grace_days",
    "decay_window_days",
    "decay_half_life_days",
)


def _days(column: str) -> CheckConstraint:
    """At most a century, and no NaN: one tenant's slip must not stop the jobs of all."""
    return CheckConstraint(f"{column} BETWEEN 0 AND 36500", name=column)


tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("timezone", Text, nullable=False, server_default=text("'UTC'"), comment="name of the IANA database"),
    time("created_at", required=True),
    time("deleted_at"),
)

#: A null is "as the catalogue's settings say".
tenant_settings = Table(
    "tenant_settings",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("memory.tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("summary_min_cluster_size", Integer),
    Column("cluster_interval_hours", Float),
    Column("hot_to_warm_days", Float),
    Column("warm_to_cold_days", Float),
    Column("hot_quota", Integer, comment="hot memories that each user may have"),
    Column("archive_after_days", Float),
    Column("archive_window_days", Float),
    Column("grace_days", Float),
    Column("decay_window_days", Float),
    Column("decay_half_life_days", Float),
    Column("gating_threshold", Float),
    Column("deny_words", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("token_budget", BigInteger, comment="language model tokens a UTC day; null: no limit"),
    Column("siem_enabled", Boolean, nullable=False, server_default=text("true")),
    time("summarised_at", comment="when its clusters were last looked at"),
    *(_days(name) for name in DAYS),
    CheckConstraint("decay_half_life_days > 0", name="decay_half_life"),
    CheckConstraint("hot_quota >= 0", name="hot_quota"),
    CheckConstraint("summary_min_cluster_size >= 2", name="summary_min_cluster_size"),
    CheckConstraint("cluster_interval_hours BETWEEN 0 AND 876000", name="cluster_interval_hours"),
    CheckConstraint("gating_threshold BETWEEN 0 AND 1", name="gating_threshold"),
)

#: Tokens of language models by tenant and UTC day: what its budget is held against.
tenant_tokens = Table(
    "tenant_tokens",
    metadata,
    Column("tenant_id", Uuid, ForeignKey("memory.tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("tokens", BigInteger, nullable=False, server_default=text("0")),
)

#: `data_key` is the key of the user's texts, sealed by the installation's; without it nobody reads them again.
users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    tenant(),
    Column("email", Text, nullable=False),
    Column("timezone", Text, nullable=False, server_default=text("'UTC'")),
    Column("plan", Text, nullable=False, server_default=text("'free'")),
    Column("data_key", LargeBinary),
    Column("insights_dirty", Boolean, nullable=False, server_default=text("false")),
    time("created_at", required=True),
    time("deleted_at"),
    one_of("plan", PLANS),
    Index("users_tenant_idx", "tenant_id", "id"),
)

#: Refresh tokens: only their HMAC is kept. A revoked session stays until it expires, to recognise a token's reuse.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    user(),
    Column("device_id", Text, nullable=False),
    Column("refresh_token_hash", Text, nullable=False, unique=True),
    Column("family_id", Uuid, nullable=False),
    Column("session_type", Text, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("is_current", Boolean, nullable=False, server_default=text("true")),
    Column("ip_address", INET),
    time("expires_at", required=True),
    time("created_at", required=True),
    one_of("session_type", SESSION_TYPES),
    Index("sessions_expires_at_idx", "expires_at"),
)
