"""Memories, their vectors, and what happened to them."""

from __future__ import annotations

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from actors.memory.tables._schema import ENVIRONMENTS, environment, metadata, one_of, tenant, time, user

TIERS = ("hot", "warm", "cold")
RETENTION_STATUSES = ("active", "archived", "soft_deleted", "hard_delete_pending")
DELETION_METHODS = ("retention_policy", "user_request", "admin_action", "gdpr_request", "legal_hold_release")
HEATS = ("skipped", "batched", "immediate")
NO_PROJECT = "00000000-0000-0000-0000-000000000000"

#: When a memory's next step of retention is due, in SQL; null: never. A deleted one without a time is looked at always.
#: Written as Postgres writes it, so that a comparison of the tables with a database finds no difference.
DUE = """
CASE retention_status
    WHEN 'active'::text THEN LEAST(archive_at, retention_expires_at, expires_at)
    WHEN 'archived'::text THEN LEAST(retention_expires_at, expires_at)
    ELSE COALESCE(hard_delete_at, deleted_at, created_at)
END""".strip()


def _score(name: str, default: str) -> Column[float]:
    return Column(name, REAL, nullable=False, server_default=text(default))


#: `content_hash` is the SHA-256 of the plain text, keyed by the user's data key. A purged memory has no row any more.
memories = Table(
    "memories",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    tenant(),
    user(),
    Column("project_id", Uuid),
    environment(),
    Column("end_user_id", Text),
    Column("text_ciphertext", LargeBinary, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("extracted_type", Text, nullable=False),
    Column("extracted_key", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("source", Text, nullable=False, server_default=text("'api'")),
    _score("importance", "0.5"),
    Column("importance_score", SmallInteger, nullable=False, server_default=text("50"), comment="0 to 100"),
    _score("quality_score", "0.5"),
    _score("confidence_score", "0.5"),
    _score("freshness_score", "1.0"),
    _score("consistency_score", "1.0"),
    _score("decay_score", "1.0"),
    Column("evidence_count", Integer, nullable=False, server_default=text("0")),
    Column("usage_count", Integer, nullable=False, server_default=text("0")),
    Column("gated", Boolean, nullable=False, server_default=text("false"), comment="below the threshold: no vector"),
    Column("heat", Text, nullable=False, server_default=text("'skipped'")),
    time("scored_at"),
    time("last_accessed_at", comment="null: never recalled; then created_at counts"),
    time("created_at", required=True),
    time("updated_at", required=True),
    Column("tier", Text, nullable=False, server_default=text("'hot'")),
    time("tier_changed_at", required=True),
    Column("retention_status", Text, nullable=False, server_default=text("'active'")),
    time("archive_at"),
    time("retention_expires_at"),
    time("hard_delete_at"),
    time("expires_at", comment="a hard end, set at creation"),
    time("deleted_at"),
    Column("deletion_method", Text),
    time("retention_changed_at", comment="when the retention job last moved it on"),
    Column("legal_hold", Boolean, nullable=False, server_default=text("false")),
    Column("pinned", Boolean, nullable=False, server_default=text("false")),
    Column("superseded_by", BigInteger),
    Column("is_summary", Boolean, nullable=False, server_default=text("false")),
    Column("parent_ids", ARRAY(BigInteger), comment="of a summary: the memories that it sums up"),
    Column("cluster_hash", Text, comment="of a summary: what its members were like; see summaries/clusters.py"),
    one_of("environment", ENVIRONMENTS),
    one_of("tier", TIERS),
    one_of("retention_status", RETENTION_STATUSES),
    one_of("deletion_method", DELETION_METHODS),
    one_of("heat", HEATS),
    CheckConstraint("importance_score BETWEEN 0 AND 100", name="importance_score"),
    postgresql_with={"fillfactor": "80"},
)
#: Clusters, duplicates by key, and everything that is asked for one user.
Index(
    "memories_cluster_idx",
    memories.c.user_id,
    memories.c.extracted_key,
    memories.c.extracted_type,
    memories.c.environment,
    postgresql_where=text("retention_status IN ('active', 'archived')"),
)
#: One summary a cluster.
Index(
    "memories_summary_key",
    memories.c.user_id,
    func.coalesce(memories.c.project_id, text(f"'{NO_PROJECT}'::uuid")),
    memories.c.environment,
    memories.c.extracted_type,
    memories.c.extracted_key,
    unique=True,
    postgresql_where=text("is_summary AND retention_status = 'active'"),
)

#: What retention has to look at next; of columns that decay and tiers never write, so that these stay cheap.
Index("memories_due_idx", text(f"(\n{DUE})"), memories.c.id)

#: Kept apart so that a memory's scores change without its vector being written again; halves suffice for cosine.
embeddings = Table(
    "embeddings",
    metadata,
    Column("memory_id", BigInteger, ForeignKey("memory.memories.id", ondelete="CASCADE"), primary_key=True),
    Column("content_hash", Text, nullable=False, comment="of the text that was embedded"),
    Column("model", Text, nullable=False),
    Column("embedding", HALFVEC(), nullable=False),
    time("embedded_at", required=True),
)

#: One row for every step in a memory's life. No foreign key: the events of a purged memory stay.
memory_events = Table(
    "memory_events",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("memory_id", BigInteger, nullable=False, index=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("source", Text, nullable=False, comment="the job or the API"),
    Column("payload", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    time("created_at", required=True),
)

#: One row a recall, in order of time; what heat is made of.
recalls = Table(
    "recalls",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("memory_id", BigInteger, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    time("recalled_at", required=True),
    Index("recalls_memory_idx", "memory_id", "recalled_at"),
)

#: How far a job has read a table that only grows.
watermarks = Table(
    "watermarks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, server_default=text("0")),
    time("updated_at", required=True),
)

#: Deleted stays deleted, also after an old backup was restored.
tombstones = Table(
    "tombstones",
    metadata,
    Column("memory_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("deletion_method", Text, nullable=False),
    time("purged_at", required=True),
)

#: Of a tenant (`user_id` null) or one user, one a UTC day; `content` is sealed JSON: themes, trends, risks, skepticism.
insight_snapshots = Table(
    "insight_snapshots",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    tenant(),
    user(required=False),
    Column("snapshot_date", Date, nullable=False),
    Column("sample_hash", Text, nullable=False),
    Column("sample_size", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("low_confidence", Boolean, nullable=False, server_default=text("false")),
    time("created_at", required=True),
    Index(
        "insight_snapshots_key",
        "tenant_id",
        "user_id",
        "snapshot_date",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)
