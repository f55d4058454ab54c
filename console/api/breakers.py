"""`/v1/breakers`: which targets outside are left alone; close a breaker by hand."""

from typing import Annotated

from fastapi import APIRouter, Query

from callboard.ledger import breakers as ledger
from callboard.ledger.database import transaction
from callboard.operations import breakers as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._problems import documented
from console.api.models import Breaker, Breakers, ResetBreaker

router = APIRouter(prefix="/v1/breakers", tags=["breakers"], responses=documented(404))


@router.get("", operation_id="list_breakers", summary="Circuit breakers that are open or count failures")
def list_breakers(
    _: Reader,
    *,
    everything: Annotated[bool, Query(alias="all", description="Those too that are closed.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
) -> Breakers:
    """Those that are open for longest first."""
    with transaction() as connection:
        found = ledger.listing(connection, unwell=not everything, limit=limit)
    return Breakers(items=[Breaker.model_validate(dict(row)) for row in found])


@router.post("/reset", operation_id="reset_breaker", summary="Close a breaker now")
def reset(asked: ResetBreaker, _: Operator, who: WhoAsks) -> Breaker:
    """Once what it stands for is mended; it opens again if that was not so. Workers know within a second."""
    return Breaker.model_validate(dict(operations.reset(asked.key, who=who, why=asked.why)))
