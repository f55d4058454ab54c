"""Audit rows: who did what to which thing, for auditors and for the systems that `actors.memory.siem` forwards to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.memory.audit_rows import AuditRow, category_of, keep
from actors.memory.siem import URGENT, forward_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = ["AuditRow", "audit"]


def audit(connection: Connection, rows: Sequence[AuditRow]) -> int:
    """Write the rows in the caller's transaction, by one statement. Returns how many.

    Of security, the severity that destinations are told is high: after the commit they are forwarded at once, all
    others when `siem_forwarding_job` comes by.

    Raises:
        sqlalchemy.exc.IntegrityError: A category or status is none, or the tenant is unknown.
    """
    written = keep(connection, rows)
    forward_at_once(connection, {row.tenant_id for row in rows if category_of(row) == URGENT})
    return written
