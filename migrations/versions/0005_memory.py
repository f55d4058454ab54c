"""The memory catalogue: memories and their vectors, integrations, webhooks, audit rows and where they go."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0005_memory.sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop schema memory cascade")
