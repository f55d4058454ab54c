"""Who did what: one row for every act, written in the transaction of the act where that is in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard import news
from callboard.ledger.audit import Who, write

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Who", "audit"]


def audit(
    connection: Connection,
    who: Who,
    action: str,
    resource: tuple[str, object],
    *,
    why: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Write that somebody did something, and tell the screens that show what it was done to.

    Args:
        connection: Inside the transaction of the act.
        who: Who asked for it.
        action: What, as `<thing>.<verb>`: `dead_letter.replay`.
        resource: What it was done to: its type and its id or name.
        why: The reason that was given.
        detail: More, redacted before it is written.
    """
    write(connection, who, action, resource, why=why, detail=detail)
    news.tell_of_act(connection, *resource)
