"""Pages of the audit, for the board and for one team."""

from uuid import UUID

from callboard.filters import parse
from callboard.ledger import audit
from callboard.ledger.database import transaction
from console.api._lists import Paging, listing
from console.api.models import AuditEntry, CountedListing


def entries(asked: Paging, team_id: UUID | None = None) -> CountedListing[AuditEntry]:
    """One page, newest first.

    Raises:
        FilterError: The filter or the cursor cannot be read.
    """
    chosen = parse(asked.filter, "audit")
    found = listing("audit", asked, chosen=chosen if team_id is None else chosen.and_("team", str(team_id)))
    with transaction() as connection:
        found["items"] = audit.named(connection, found["items"])
    return CountedListing[AuditEntry].model_validate(found)
