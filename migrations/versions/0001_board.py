"""The ledger: schema `board`."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_SQL = Path(__file__).parent.parent / "sql" / "0001_board.sql"


def upgrade() -> None:
    # exec_driver_sql without parameters: Postgres runs the whole file, and no % or : in it means anything else.
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("drop schema board cascade")
