"""`/v1/workers`: who works."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query

from callboard.ledger.database import transaction
from callboard.views import workers as views
from console.api._doors import Reader
from console.api._problems import documented
from console.api.models import Worker, Workers

router = APIRouter(prefix="/v1/workers", tags=["workers"], responses=documented())


@router.get("", operation_id="list_workers", summary="All worker processes")
def list_workers(
    _: Reader,
    *,
    everything: Annotated[bool, Query(alias="all", description="Those too that ended within the last day.")] = False,
) -> Workers:
    """Oldest first."""
    with transaction() as connection:
        found = views.listing(connection, now=datetime.now(UTC), everything=everything)
    return Workers(items=[Worker.model_validate(worker) for worker in found])
