"""Issues with a life of their own, notifications, people and what they may do, and who did what."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0004_operators.sql"

_TABLES = (
    *("audit", "sign_in_failures", "sign_in_links", "sign_ins", "api_keys", "projects", "memberships", "teams"),
    *("users", "trends", "trend_marks", "notifications", "disabled_channels", "token_usages"),
    "bulk_replays",
)
_COLUMNS = {
    "runs": ("project_id", "trace_id", "log"),
    "failures": ("project_id", "trace_id", "log", "duration_seconds", "retry_state"),
    "dead_letters": ("settled_why", "replay_args", "project_id"),
    "issues": (
        *("type", "severity", "subject", "scope", "project_id", "reopened", "status_at", "status_by", "note"),
        *("silenced_until", "silenced_by"),
    ),
}
_INDEXES = (
    *("runs_job_ended_badly", "runs_with_error", "runs_by_hand", "failures_project", "dead_letters_project"),
    *("runs_ended_badly", "runs_project", "runs_correlation", "issues_last_seen_at", "failures_job", "failures_issue"),
    *("dead_letters_job", "dead_letters_issue", "dead_letters_replay"),
)


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"drop table board.{table}")
    for index in _INDEXES:
        op.execute(f"drop index if exists board.{index}")
    op.execute("drop index board.dead_letters_open")
    op.execute("create index dead_letters_open on board.dead_letters (id) where state = 'open'")
    for table, columns in _COLUMNS.items():
        op.execute(f"alter table board.{table} " + ", ".join(f"drop column {column}" for column in columns))
    op.execute("update board.issues set status = 'open' where status = 'pending'")
    op.execute("alter table board.issues drop constraint issues_status")
    op.execute(
        "alter table board.issues add constraint issues_status check (status in ('open', 'resolved', 'silenced'))"
    )
