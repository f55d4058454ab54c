"""Pages of the audit, for the board and for one team."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from sqlalchemy import select

from callboard.ledger.account_tables import audit
from callboard.ledger.database import transaction
from console.api._lists import NO_NUL, Limit
from console.api.models import AuditEntry, Listing

_Word = Annotated[str | None, Query(max_length=200, pattern=NO_NUL)]


@dataclass(frozen=True)
class AuditPaging:
    """What the lists of the audit take; each of the words must be equal."""

    who: _Word = None
    action: _Word = None
    resource_type: _Word = None
    resource_id: _Word = None
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="From the page before.")] = None
    limit: Limit = 50


AuditPaged = Annotated[AuditPaging, Depends()]


def entries(asked: AuditPaging, team_id: UUID | None = None) -> Listing[AuditEntry]:
    """One page, newest first."""
    equal = {"team_id": team_id} | {name: getattr(asked, name) for name in _WORDS}
    query = select(audit).where(*(audit.c[name] == value for name, value in equal.items() if value is not None))
    if asked.cursor is not None:
        query = query.where(audit.c.id < asked.cursor)
    with transaction() as connection:
        rows = connection.execute(query.order_by(audit.c.id.desc()).limit(asked.limit + 1)).mappings().all()
    more = len(rows) > asked.limit
    last = str(rows[asked.limit - 1]["id"]) if more else None
    return Listing[AuditEntry].model_validate({"items": rows[: asked.limit], "cursor": last, "has_more": more})


_WORDS = ("who", "action", "resource_type", "resource_id")
