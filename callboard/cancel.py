"""Cancel runs: a pending one never starts, a running one is asked to return early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from callboard.errors import NotFound
from callboard.ledger import claims, runs, schedules
from callboard.ledger.database import transaction
from callboard.ledger.outgoing import Outgoing, facts_of_row, leave
from callboard.settings import get_settings

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection


def cancel(run_id: UUID, *, by: str) -> Literal["cancelled", "requested"]:
    """Cancel a run.

    Returns:
        `cancelled` for a pending run, over now; `requested` for a running one, which hears of it within a second.

    Raises:
        NotFound: No run of that id is pending or running.
    """
    with transaction() as connection:
        answer = within(connection, run_id, by=by)
    leave()
    return answer


def within(connection: Connection, run_id: UUID, *, by: str) -> Literal["cancelled", "requested"]:
    """`cancel`, in the caller's transaction; after its end `outgoing.leave` sends what is to be told."""
    row = runs.request_cancel(connection, run_id, by=by)
    if row is None:
        raise NotFound(f"Run {run_id} is neither pending nor running; `callboard run show {run_id}` says how it ended.")
    if row["state"] != "cancelled":
        return "requested"
    schedules.ended(connection, row["job"], outcome="cancelled", seconds=0.0)
    claims.release(connection, row["job"], row["scope"], row["id"])
    Outgoing(get_settings()).ended(connection, facts_of_row(row), "cancelled")
    return "cancelled"
