"""Circuit breakers."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"

_SQL = Path(__file__).resolve().parent.parent / "sql" / "0007_breakers.sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop table board.breakers")
