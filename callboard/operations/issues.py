"""Resolve issues, reopen them, take them on, and silence them for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from callboard.errors import Invalid
from callboard.ledger import issues
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from callboard.operations._audit import Who


def resolve(issue_id: int, *, who: Who, why: str = "") -> RowMapping:
    """The cause is gone; the issue opens again if it comes back. Returns the issue's row, as all acts here do.

    Raises:
        NotFound: There is none of that id.
    """
    return _set(issue_id, "resolved", "resolve", who, why)


def reopen(issue_id: int, *, who: Who, why: str = "") -> RowMapping:
    """It is not over, or nobody works on it any more.

    Raises:
        NotFound: There is none of that id.
    """
    return _set(issue_id, "open", "reopen", who, why)


def take(issue_id: int, *, who: Who, why: str = "") -> RowMapping:
    """Say that `who` works on it; also from somebody else who did.

    Raises:
        NotFound: There is none of that id.
    """
    return _set(issue_id, "pending", "take", who, why)


def silence(issue_id: int, until: datetime | None, *, who: Who, why: str = "") -> RowMapping:
    """Let the issue alarm nobody until a moment; it still counts, and the silence ends by itself. None ends it now.

    Raises:
        NotFound: There is none of that id.
        Invalid: The moment is over; one without a zone is taken for UTC.
    """
    if until is not None:
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
        if until <= datetime.now(UTC):
            raise Invalid(
                "until", f"until={until.isoformat()} is over; name a moment to come, or none to end a silence."
            )
    with transaction() as connection:
        row = issues.silence(connection, issue_id, until, by=who.name)
        detail = {"until": None if until is None else until.isoformat()}
        verb = "silence" if until else "unsilence"
        audit(connection, who, f"issue.{verb}", ("issue", issue_id), why=why, detail=detail)
    return row


def _set(issue_id: int, status: str, verb: str, who: Who, why: str) -> RowMapping:
    """Nothing changes, and nothing is written down, where it stands so already by the same hand."""
    with transaction() as connection:
        before = issues.hold(connection, issue_id)
        if before["status"] == status and (status != "pending" or before["status_by"] == who.name):
            return before
        row = issues.set_status(connection, issue_id, status, by=who.name, note=why)
        detail = {"before": before["status"]}
        audit(connection, who, f"issue.{verb}", ("issue", issue_id), why=why, detail=detail)
    return row
