"""The tables of schema `board`, as SQLAlchemy sees them; `migrations/` has the same in SQL, and a test compares."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

SCHEMA = "board"
STATES = ("pending", "running", "completed", "failed", "cancelled")
OUTCOMES = ("fired", "coalesced", "skipped")

metadata = MetaData(schema=SCHEMA)
_NOW = text("now()")


def _time(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required, server_default=_NOW if required else None)


def _one_of(column: str, values: tuple[str, ...], name: str) -> CheckConstraint:
    return CheckConstraint(f"{column} in ({', '.join(repr(value) for value in values)})", name=name)


runs = Table(
    "runs",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True),
    Column("job", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("scope", Text, nullable=False, server_default=""),
    Column("correlation_id", Text, nullable=False),
    Column("parent_id", UUID),
    Column("args", JSONB, comment="redacted, for people"),
    Column("payload", LargeBinary, comment="the encoded message while a durable run is pending"),
    Column("delivery", Text, comment="the broker's id of the message that will start the next attempt"),
    _time("scheduled_for"),
    Column("missed", Integer, nullable=False, server_default="0"),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("crashes", SmallInteger, nullable=False, server_default="0"),
    Column("token", BigInteger, comment="fencing token of the attempt that may end the run, or that ended last"),
    Column("worker_id", UUID),
    _time("eligible_at"),
    _time("enqueued_at"),
    _time("started_at"),
    _time("finished_at"),
    _time("retry_at"),
    _time("cancel_requested_at"),
    Column("cancel_requested_by", Text),
    Column("counts", JSON, comment="json, not jsonb: it keeps the order in which the job counted"),
    Column("notes", JSON),
    Column("progress", JSONB),
    Column("notify", ARRAY(Text)),
    Column("reason", Text, comment="why the run ended as it did, or waits"),
    Column("error_kind", Text),
    Column("error_type", Text),
    Column("error", Text),
    Column("history", JSONB, comment="[{at, event, detail}] of what is not an ordinary start and finish"),
    _one_of("state", STATES, "runs_state"),
    # Every index here is paid for by every run; the partial ones only by those that have what they index.
    Index("runs_created_at", "created_at"),
    Index("runs_job_created_at", "job", "created_at"),
    Index("runs_open", "state", "job", postgresql_where=text("state in ('pending', 'running')")),
    Index("runs_parent", "parent_id", postgresql_where=text("parent_id is not null")),
    postgresql_partition_by="RANGE (created_at)",
)

claims = Table(
    "claims",
    metadata,
    Column("job", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("run_id", UUID, nullable=False),
    Column("run_created_at", DateTime(timezone=True), nullable=False),
    _time("claimed_at", required=True),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    Index("claims_run", "run_id"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("job", Text, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("interval_seconds", Float, nullable=False),
    Column("declared", Boolean, nullable=False, server_default=text("true")),
    _time("created_at", required=True),
    Column("watermark", DateTime(timezone=True), nullable=False, comment="the last due tick that was dealt with"),
    _time("paused_at"),
    Column("paused_by", Text),
    _time("last_start_at"),
    _time("last_success_at"),
    _time("last_completion_at"),
    Column("last_duration_seconds", Float),
    Column("last_state", Text),
    Column("consecutive_failures", Integer, nullable=False, server_default="0"),
    Column("missed", JSONB, nullable=False, server_default="{}", comment="ticks without a run of their own, by reason"),
    Column("last_records", Float, comment="sum of what the last run that ended counted"),
)

canaries = Table(
    "canaries",
    metadata,
    Column("queue", Text, primary_key=True),
    _time("declared_at", required=True),
    _time("sent_at"),
    Column("delivery", Text, comment="the broker's id of the message sent last"),
    _time("last_success_at"),
)

occurrences = Table(
    "occurrences",
    metadata,
    Column("job", Text, primary_key=True),
    Column("scheduled_for", DateTime(timezone=True), primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, comment="overlap, paused or late, for a skipped one"),
    Column("coalesced_into", DateTime(timezone=True), comment="the tick whose run stands for this one"),
    Column("run_id", UUID),
    _time("recorded_at", required=True),
    _one_of("outcome", OUTCOMES, "occurrences_outcome"),
    Index("occurrences_recorded_at", "recorded_at"),
)

issues = Table(
    "issues",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("job", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    Column("occurrences", BigInteger, nullable=False, server_default="1"),
    _time("first_seen_at", required=True),
    _time("last_seen_at", required=True),
    Column("last_run_id", UUID),
    _one_of("status", ("open", "resolved", "silenced"), "issues_status"),
)

failures = Table(
    "failures",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", UUID, nullable=False),
    Column("issue_id", BigInteger),
    Column("job", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("scope", Text, nullable=False, server_default=""),
    Column("attempt", SmallInteger, nullable=False),
    Column("args", JSONB),
    Column("kind", Text, nullable=False),
    Column("retryable", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("traceback", Text),
    Column("correlation_id", Text, nullable=False),
    _time("occurred_at", required=True),
    Index("failures_run", "run_id"),
    Index("failures_occurred_at", "occurred_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", UUID, nullable=False),
    Column("issue_id", BigInteger),
    Column("job", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("scope", Text, nullable=False, server_default=""),
    Column("payload", LargeBinary, nullable=False, comment="the whole message, as it was encoded"),
    Column("args", JSONB, comment="redacted, for people"),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("correlation_id", Text, nullable=False),
    _time("created_at", required=True),
    Column("state", Text, nullable=False, server_default="open"),
    _time("settled_at"),
    Column("settled_by", Text),
    Column("replay_run_id", UUID),
    _one_of("state", ("open", "replayed", "discarded"), "dead_letters_state"),
    Index("dead_letters_open", "id", postgresql_where=text("state = 'open'")),
    Index("dead_letters_run", "run_id"),
)

rates = Table(
    "rates",
    metadata,
    Column("job", Text, primary_key=True),
    Column("arrival", DateTime(timezone=True), nullable=False, comment="GCRA: when the next start is due by the rate"),
)

totals = Table(
    "totals",
    metadata,
    Column("job", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("shard", SmallInteger, primary_key=True, comment="one per recorder, so that none waits for another's row"),
    Column("queue", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("buckets", ARRAY(BigInteger), nullable=False, comment="attempts by run time, one per bound and +Inf"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("broker_id", Text, nullable=False),
    Column("queues", ARRAY(Text), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("busy", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="alive"),
    _time("started_at", required=True),
    _time("heartbeat_at", required=True),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    _one_of("state", ("alive", "draining", "stopped", "dead"), "workers_state"),
)
