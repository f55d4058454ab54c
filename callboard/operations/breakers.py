"""Close a circuit breaker by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.errors import NotFound
from callboard.ledger import breakers
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from callboard.operations._audit import Who


def reset(key: str, *, who: Who, why: str = "") -> RowMapping:
    """Let calls through again, before the cooldown is over; workers know within a second. Returns its row.

    Raises:
        NotFound: There is no breaker of that key, or its target has never failed.
    """
    with transaction() as connection:
        row = breakers.reset(connection, key)
        if row is None:
            raise NotFound(f"no breaker has the key {key!r}; `callboard breakers list --all` shows them.")
        audit(connection, who, "breaker.reset", ("breaker", key), why=why)
    return row
