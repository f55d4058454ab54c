"""The revenue catalogue: teams, projects and apps, their users, and events partitioned by month."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0006_revenue.sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop schema revenue cascade")
