"""Connections to providers, their sync jobs, what they brought, and the candidates made of it."""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from actors.memory.tables._schema import ENVIRONMENTS, environment, metadata, one_of, tenant, time, user
from actors.memory.tables.memories import NO_PROJECT

PROVIDERS = ("github", "notion", "google_drive", "onedrive")
FREQUENCIES = ("REALTIME", "HOURLY", "DAILY", "WEEKLY", "MANUAL")
SYNC_TYPES = ("FULL", "INCREMENTAL", "WEBHOOK")
SYNC_STATES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
CATEGORIES = ("FACT", "EVENT", "STATUS", "RELATIONSHIP", "POLICY", "DECISION", "ENTITY", "SUMMARY")
DECISIONS = (
    "pending",
    "created",
    "discarded_low_signal",
    "discarded_redundant",
    "discarded_transient",
    "discarded_policy",
)

#: Tokens are sealed. `cursor` is the provider's, saved when a sync job has completed.
connections = Table(
    "connections",
    metadata,
    Column("id", Uuid, primary_key=True),
    tenant(),
    user(),
    Column("project_id", Uuid),
    environment(),
    Column("provider", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("access_token", LargeBinary),
    Column("refresh_token", LargeBinary),
    time("token_expires_at"),
    Column("frequency", Text, nullable=False, server_default=text("'HOURLY'")),
    Column("options", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="e.g. a repository, a folder"),
    Column("cursor", Text),
    time("next_scheduled_sync"),
    Column("sync_at", Time, comment="the tenant's time of day of DAILY and WEEKLY syncs; null: as the next one is"),
    time("created_at", required=True),
    one_of("environment", ENVIRONMENTS),
    one_of("provider", PROVIDERS),
    one_of("frequency", FREQUENCIES),
    one_of("status", ("active", "needs_reauth", "disabled")),
    Index(
        "connections_due_idx",
        "next_scheduled_sync",
        postgresql_where=text("status = 'active' AND next_scheduled_sync IS NOT NULL"),
    ),
)

#: `cursor` is where the next page is asked for: a job that died goes on there. How many memories the capture queue made
#: of its candidates, in this job's time or later, the view `sync_results` tells.
sync_jobs = Table(
    "sync_jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("connection_id", Uuid, ForeignKey("memory.connections.id", ondelete="CASCADE"), nullable=False),
    tenant(),
    Column("type", Text, nullable=False, server_default=text("'INCREMENTAL'")),
    Column("status", Text, nullable=False, server_default=text("'PENDING'")),
    Column("idempotency_key", Text, unique=True),
    time("scheduled_for"),
    Column("cursor", Text),
    Column("pages", Integer, nullable=False, server_default=text("0")),
    Column("read_to_end", Boolean, nullable=False, server_default=text("false"), comment="there is no other page"),
    *(
        Column(name, Integer, nullable=False, server_default=text("0"))
        for name in ("total_items", "processed_items", "failed_items", "candidates", "memories_deleted")
    ),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("starts", Integer, nullable=False, server_default=text("0"), comment="attempts that were cut off go on"),
    Column("error", Text),
    time("created_at", required=True),
    time("started_at"),
    time("completed_at"),
    one_of("type", SYNC_TYPES),
    one_of("status", SYNC_STATES),
    Index(
        "sync_jobs_one_at_a_time",
        "connection_id",
        unique=True,
        postgresql_where=text("status IN ('PENDING', 'RUNNING')"),
    ),
    Index("sync_jobs_connection_idx", "connection_id", "created_at"),
    Index("sync_jobs_in_flight_idx", "tenant_id", postgresql_where=text("status IN ('PENDING', 'RUNNING')")),
)

external_objects = Table(
    "external_objects",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("connection_id", Uuid, ForeignKey("memory.connections.id", ondelete="CASCADE"), nullable=False),
    Column("source_object_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("url", Text),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("content_hash", Text, nullable=False, comment="as source_input_hash of a candidate"),
    time("seen_at", required=True),
    time("deleted_at"),
    UniqueConstraint("connection_id", "source_object_id"),
    Index("external_objects_text_idx", "connection_id", "content_hash", postgresql_where=text("deleted_at IS NULL")),
)

memory_candidates = Table(
    "memory_candidates",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    tenant(),
    user(),
    Column("project_id", Uuid),
    environment(),
    Column("source_object_id", BigInteger, ForeignKey("memory.external_objects.id", ondelete="SET NULL")),
    Column("sync_job_id", Uuid, comment="the sync that proposed it"),
    Column("source_type", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("content_ciphertext", LargeBinary, nullable=False),
    Column("source_input_hash", Text, nullable=False, comment="of the sanitised input, keyed as content_hash is"),
    Column(
        "turn",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="how often its text came before: again once its key said something else",
    ),
    Column("extracted_key", Text),
    Column("importance", REAL, nullable=False, server_default=text("0.5")),
    Column("decision", Text, nullable=False, server_default=text("'pending'")),
    Column("memory_id", BigInteger),
    Column("replaced_memory_id", BigInteger, comment="what its own memory took the place of"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    time("created_at", required=True),
    time("decided_at"),
    one_of("environment", ENVIRONMENTS),
    one_of("category", CATEGORIES),
    one_of("decision", DECISIONS),
    Index("memory_candidates_pending_idx", "id", postgresql_where=text("decision = 'pending'")),
    Index(
        "memory_candidates_pending_key_idx",
        "user_id",
        "extracted_key",
        postgresql_where=text("decision = 'pending'"),
    ),
    *(
        Index(f"memory_candidates_{name}_idx", name, postgresql_where=text(f"{name} IS NOT NULL"))
        for name in ("memory_id", "source_object_id", "sync_job_id")
    ),
)
Index(
    "memory_candidates_input_key",
    memory_candidates.c.user_id,
    func.coalesce(memory_candidates.c.project_id, text(f"'{NO_PROJECT}'::uuid")),
    memory_candidates.c.environment,
    memory_candidates.c.source_input_hash,
    memory_candidates.c.turn,
    unique=True,
)
