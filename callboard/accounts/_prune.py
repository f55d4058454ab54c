"""What is kept of signing in, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Links of the settings expire never, so that a used one stays known; what is audited stays in the audit.
_OLD = (
    text("delete from board.sign_ins where expires_at < now()"),
    text("delete from board.sign_in_links where expires_at < now() - interval '1 day'"),
    text("delete from board.sign_in_failures where at < now() - interval '1 day'"),
)


def prune(connection: Connection) -> int:
    """Delete sign-ins, links and failures that count for nothing any more; how many rows."""
    return sum(connection.execute(statement).rowcount for statement in _OLD)
