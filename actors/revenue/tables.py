"""Tables of the catalogue, in the Postgres schema `revenue`.

teams 1──n projects 1──n apps 1──n events, metric_events, funnel_events (partitioned by month, without foreign keys).
projects 1──n app_users, whose properties the sync fills, and integrations, which hold the provider's key. A project
that is also one of the console's has the same id there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from typing import Any

metadata = MetaData(
    schema="revenue",
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)


def _time(name: str, *, required: bool = False) -> Column[Any]:
    default = text("now()") if required else None
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=default)


def _id() -> Column[Any]:
    return Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()"))


def _of(parent: str) -> Column[Any]:
    """What the row belongs to, and goes with."""
    key = ForeignKey(f"revenue.{parent}s.id", ondelete="CASCADE")
    return Column(f"{parent}_id", Uuid, key, nullable=False, index=True)


def _deletable(name: str, *columns: Any) -> Table:  # noqa: ANN401 - columns, constraints and indexes
    """A table whose rows are marked first, and deleted after a grace."""
    return Table(name, metadata, _id(), *columns, _time("created_at", required=True), _time("deleted_at"))


teams = _deletable("teams", Column("name", Text, nullable=False))
projects = _deletable("projects", _of("team"), Column("name", Text, nullable=False))
apps = _deletable("apps", _of("project"), Column("name", Text, nullable=False))
metric_definitions = _deletable("metric_definitions", _of("project"), Column("slug", Text, nullable=False))
funnel_definitions = _deletable("funnel_definitions", _of("project"), Column("slug", Text, nullable=False))
api_keys = _deletable(
    "api_keys",
    _of("team"),
    Column("app_id", Uuid, ForeignKey("revenue.apps.id", ondelete="CASCADE"), index=True),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
)
#: `api_key` is sealed; `settings` holds what is not secret: the provider's own project id.
integrations = _deletable(
    "integrations",
    _of("project"),
    Column("provider", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("api_key", LargeBinary, nullable=False),
    Column("settings", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("provider IN ('revenuecat')", name="provider"),
    Index(
        "integrations_one_a_project",
        "project_id",
        "provider",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

team_members = Table(
    "team_members",
    metadata,
    Column("team_id", Uuid, ForeignKey("revenue.teams.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    _time("created_at", required=True),
)
team_invitations = Table(
    "team_invitations",
    metadata,
    _id(),
    _of("team"),
    Column("email", Text, nullable=False),
    _time("created_at", required=True),
)
audit_logs = Table(
    "audit_logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _of("team"),
    Column("action", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _time("created_at", required=True),
)

#: `properties` are texts by name; those that begin with `rc_` are the sync's.
app_users = Table(
    "app_users",
    metadata,
    _id(),
    _of("project"),
    Column("user_id", Text, nullable=False),
    Column("is_anonymous", Boolean, nullable=False, server_default=text("false")),
    Column("properties", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _time("first_seen_at", required=True),
    _time("last_seen_at", required=True),
    UniqueConstraint("project_id", "user_id"),
)


def _events(name: str, *columns: Any) -> Table:  # noqa: ANN401 - columns and indexes
    """A table partitioned by month of `timestamp`: `<name>_YYYY_MM`. No foreign key: an app's rows outlive it."""
    return Table(
        name,
        metadata,
        Column("id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
        Column("timestamp", DateTime(timezone=True), primary_key=True),
        Column("app_id", Uuid, nullable=False),
        *columns,
        postgresql_partition_by="RANGE (timestamp)",
    )


events = _events(
    "events",
    Column("session_id", Uuid),
    Column("user_id", Text),
    Column("level", Text, nullable=False, server_default=text("'info'")),
    Column("message", Text, nullable=False),
    Column("properties", JSONB),
    Column("client_event_id", Uuid),
    Index("events_app_time_idx", "app_id", "timestamp"),
    Index("events_app_client_idx", "app_id", "client_event_id", "timestamp"),
)
metric_events = _events(
    "metric_events",
    Column("metric_slug", Text, nullable=False),
    Column("tracking_id", Uuid),
    Column("phase", Text, nullable=False),
    Column("duration_seconds", Float),
    Index("metric_events_app_slug_idx", "app_id", "metric_slug", "timestamp"),
    Index("metric_events_tracking_idx", "app_id", "tracking_id", "timestamp"),
)
funnel_events = _events(
    "funnel_events",
    Column("step", Text, nullable=False),
    Column("user_id", Text),
    Index("funnel_events_app_step_idx", "app_id", "step", "timestamp"),
)
EVENT_TABLES = (events, metric_events, funnel_events)

#: What was deleted of a project's events, for whoever counts them elsewhere. It outlives the project.
event_deletions = Table(
    "event_deletions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("project_id", Uuid, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _time("cutoff_date", required=True),
    Column("deleted_count", BigInteger, nullable=False),
    _time("created_at", required=True),
)
