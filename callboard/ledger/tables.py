"""The tables of schema `board` that tell of runs; `migrations/` has the same in SQL, and a test compares.

Those that tell of people stand in `account_tables`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from callboard.ledger._schema import metadata, one_of, time

STATES = ("pending", "running", "completed", "failed", "cancelled")
OUTCOMES = ("fired", "coalesced", "skipped")
ISSUE_STATUSES = ("open", "pending", "resolved")
SEVERITIES = ("info", "warning", "error", "critical")
LETTER_STATES = ("open", "replayed", "discarded")
BREAKER_STATES = ("closed", "open", "half_open")


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
    time("scheduled_for"),
    Column("missed", Integer, nullable=False, server_default="0"),
    Column("attempt", SmallInteger, nullable=False, server_default="0"),
    Column("crashes", SmallInteger, nullable=False, server_default="0"),
    Column("token", BigInteger, comment="fencing token of the attempt that may end the run, or that ended last"),
    Column("worker_id", UUID),
    time("eligible_at"),
    time("enqueued_at"),
    time("started_at"),
    time("finished_at"),
    time("retry_at"),
    time("cancel_requested_at"),
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
    Column("project_id", Text, comment="whose run it is; null for the system's own"),
    Column("trace_id", Text, comment="of the last attempt, if its trace is kept"),
    Column("log", JSON, comment="[{at, level, event, ...}]: the last lines that the last attempt logged itself"),
    one_of("state", STATES, "runs_state"),
    # Every index here is paid for by every run; the partial ones only by those that have what they index.
    Index("runs_created_at", "created_at"),
    Index("runs_job_created_at", "job", "created_at"),
    Index(
        "runs_open",
        *("state", "job"),
        postgresql_where=text("state in ('pending', 'running')"),
        postgresql_include=["created_at", "id", "queue"],  # a list is put in order by the index alone
    ),
    Index("runs_parent", "parent_id", postgresql_where=text("parent_id is not null")),
    # What they include is what people narrow a list of failed runs by: the index alone tells which rows are left.
    Index(
        "runs_ended_badly",
        *("created_at", "id"),
        postgresql_where=text("state in ('failed', 'cancelled')"),
        postgresql_include=["state", "job", "queue", "error_kind"],
    ),
    Index(
        "runs_job_ended_badly",
        *("job", "created_at", "id"),
        postgresql_where=text("state in ('failed', 'cancelled')"),
        postgresql_include=["state"],
    ),
    Index(
        "runs_with_error",
        *("created_at", "id"),
        postgresql_where=text("error_kind is not null"),
        postgresql_include=["error_kind", "job", "queue"],
    ),
    Index(
        "runs_by_hand",
        *("created_at", "id"),
        postgresql_where=text("trigger not in ('send', 'schedule') and left(trigger, 4) <> 'job:'"),
    ),
    Index("runs_project", "project_id", "created_at", "id", postgresql_where=text("project_id is not null")),
    # A run that nobody caused has its own id in its correlation id, and is found by that.
    Index("runs_correlation", "correlation_id", postgresql_where=text("correlation_id <> ('job-' || id::text)")),
    postgresql_partition_by="RANGE (created_at)",
)

claims = Table(
    "claims",
    metadata,
    Column("job", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("run_id", UUID, nullable=False),
    Column("run_created_at", DateTime(timezone=True), nullable=False),
    time("claimed_at", required=True),
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
    time("created_at", required=True),
    Column("watermark", DateTime(timezone=True), nullable=False, comment="the last due tick that was dealt with"),
    time("paused_at"),
    Column("paused_by", Text),
    time("last_start_at"),
    time("last_success_at"),
    time("last_completion_at"),
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
    time("declared_at", required=True),
    time("sent_at"),
    Column("delivery", Text, comment="the broker's id of the message sent last"),
    time("last_success_at"),
)

breakers = Table(
    "breakers",
    metadata,
    Column("key", Text, primary_key=True, comment="kind:target"),
    Column("state", Text, nullable=False, server_default="closed"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    Column("threshold", Integer, nullable=False, comment="failures in a row that open it, as its caller last said"),
    Column("cooldown", Float, nullable=False, comment="seconds that it stays open before a probe"),
    Column("opened_at", DateTime(timezone=True), comment="when the cooldown began"),
    Column("unwell_since", DateTime(timezone=True), comment="when it opened first since it was closed last"),
    Column("probe_owner", UUID),
    time("probe_until"),
    time("last_failure_at"),
    Column("last_error", Text),
    time("changed_at", required=True),
    one_of("state", BREAKER_STATES, "breakers_state"),
    Index("breakers_unwell", "key", postgresql_where=text("state <> 'closed' or failures > 0")),
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
    time("recorded_at", required=True),
    one_of("outcome", OUTCOMES, "occurrences_outcome"),
    Index("occurrences_recorded_at", "recorded_at"),
)

issues = Table(
    "issues",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False, server_default="job_failure"),
    Column("severity", Text, nullable=False, server_default="error"),
    Column("job", Text, nullable=False, comment="empty for an issue of a queue or of something outside"),
    Column("subject", Text, nullable=False, server_default="", comment="the queue, or what is outside"),
    Column("scope", Text, nullable=False, server_default=""),
    Column("project_id", Text),
    Column("error_type", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    Column("occurrences", BigInteger, nullable=False, server_default="1"),
    Column("reopened", Integer, nullable=False, server_default="0", comment="times it came back after it was resolved"),
    time("first_seen_at", required=True),
    time("last_seen_at", required=True),
    Column("last_run_id", UUID),
    time("status_at"),
    Column("status_by", Text),
    Column("note", Text, comment="why the status is what it is"),
    time("silenced_until"),
    Column("silenced_by", Text),
    one_of("status", ISSUE_STATUSES, "issues_status"),
    one_of("severity", SEVERITIES, "issues_severity"),
    Index("issues_last_seen_at", "last_seen_at", "id"),
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
    time("occurred_at", required=True),
    Column("project_id", Text),
    Column("trace_id", Text),
    Column("log", JSON, comment="the last lines that the attempt logged itself"),
    Column("duration_seconds", Float),
    Column("retry_state", JSONB, comment="of batch retries: attempts, last_retry_at, last_retry_run_id, source, error"),
    Index("failures_run", "run_id"),
    Index("failures_occurred_at", "occurred_at"),
    Index("failures_job", "job", "id"),
    Index("failures_issue", "issue_id", "id"),
    Index("failures_project", "project_id", "id", postgresql_where=text("project_id is not null")),
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
    time("created_at", required=True),
    Column("state", Text, nullable=False, server_default="open"),
    time("settled_at"),
    Column("settled_by", Text),
    Column("settled_why", Text),
    Column("replay_run_id", UUID),
    Column("replay_args", JSONB, comment="redacted; what the arguments were changed to, if they were"),
    Column("project_id", Text),
    one_of("state", LETTER_STATES, "dead_letters_state"),
    Index(
        "dead_letters_open",
        "id",
        postgresql_where=text("state = 'open'"),
        postgresql_include=["job", "queue", "kind", "issue_id", "created_at"],
    ),
    Index("dead_letters_run", "run_id"),
    Index("dead_letters_job", "job", "id"),
    Index("dead_letters_issue", "issue_id", "id"),
    Index("dead_letters_project", "project_id", "id", postgresql_where=text("project_id is not null")),
    Index("dead_letters_replay", "replay_run_id", postgresql_where=text("replay_run_id is not null")),
)

token_usages = Table(
    "token_usages",
    metadata,
    Column("run_id", UUID, primary_key=True),
    Column("category", Text, primary_key=True, comment="what the model was asked for, e.g. summary or embedding"),
    Column("model", Text, primary_key=True),
    Column("correlation_id", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    time("recorded_at", required=True),
    Index("token_usages_correlation", "correlation_id"),
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run_id", UUID, nullable=False, comment="the run that it tells of"),
    Column("job", Text, nullable=False, comment="its job"),
    Column("event", Text, nullable=False, comment="completed, failed, cancelled, or channel_disabled:<name>"),
    Column("channel", Text, nullable=False, comment="mail, telegram, webhook or apprise"),
    Column("target", Text, nullable=False, comment="an address, or a target's name in the settings; no secret"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    time("created_at", required=True),
    time("sent_at"),
    one_of("state", ("pending", "sent", "failed"), "notifications_state"),
    # One address, one message: however often it is asked for, and whoever asks.
    Index("notifications_once", "run_id", "event", "channel", "target", unique=True),
    Index("notifications_created_at", "created_at"),
    Index("notifications_job", "job", "created_at"),
)

disabled_channels = Table(
    "disabled_channels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False, comment="of its URL: another one makes it a new channel"),
    time("disabled_at", required=True),
    Column("why", Text, nullable=False),
)

trends = Table(
    "trends",
    metadata,
    Column("at", DateTime(timezone=True), primary_key=True, comment="the end of the minute that is counted"),
    Column("job", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
)

trend_marks = Table(
    "trend_marks",
    metadata,
    Column("job", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("attempts", BigInteger, nullable=False, comment="the total that was counted up to the last minute"),
    Column("seconds", Float, nullable=False),
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
    time("started_at", required=True),
    time("heartbeat_at", required=True),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    one_of("state", ("alive", "draining", "stopped", "dead"), "workers_state"),
)
