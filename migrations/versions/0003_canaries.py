"""Canaries, one row a queue, and what a schedule's last run counted."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0003_canaries.sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop table board.canaries")
    op.execute("alter table board.schedules drop column last_records")
