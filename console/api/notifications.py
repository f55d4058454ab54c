"""`/v1/notifications`: who was told of what; send a test message."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from callboard.ledger import notifications as ledger
from callboard.ledger.database import transaction
from callboard.operations import notifications as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Limit
from console.api._problems import documented
from console.api.models import Listing, Told, TriedAll, TryChannel

router = APIRouter(prefix="/v1/notifications", tags=["notifications"], responses=documented())

State = Literal["pending", "sent", "failed"]


@router.get("", operation_id="list_notifications", summary="Who was told of which run")
def list_notifications(
    _: Reader,
    state: Annotated[State | None, Query(description="Only those that stand so.")] = None,
    since: Annotated[AwareDatetime | None, Query(description="Only those of then or later.")] = None,
    cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="From the page before.")] = None,
    limit: Limit = 50,
) -> Listing[Told]:
    """Newest first, and whether they went out."""
    with transaction() as connection:
        found = ledger.listing(connection, state=state, since=since, before=cursor, limit=limit + 1)
    more = len(found) > limit
    last = str(found[limit - 1]["id"]) if more else None
    items = [Told.model_validate(dict(row)) for row in found[:limit]]
    return Listing[Told](items=items, cursor=last, has_more=more)


@router.post("/test", operation_id="test_notification", summary="Send a test message now")
def try_out(asked: TryChannel, _: Operator, who: WhoAsks) -> TriedAll:
    """From the console's process; a channel that was disabled and takes it is used again."""
    tried = operations.try_out(asked.target, asked.to, who=who, why=asked.why)
    return TriedAll.model_validate({"items": tried})
