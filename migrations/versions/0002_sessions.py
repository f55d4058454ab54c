"""The sessions catalogue: projects, sessions, messages, their links, and how far each file was read."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0002_sessions.sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop schema sessions cascade")
