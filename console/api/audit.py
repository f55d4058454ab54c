"""`/v1/audit`: who did what."""

from fastapi import APIRouter

from console.api._audit import entries
from console.api._doors import Auditor
from console.api._lists import Paged
from console.api._problems import documented
from console.api.models import AuditEntry, CountedListing

router = APIRouter(prefix="/v1/audit", tags=["audit"], responses=documented())


@router.get("", operation_id="list_audit", summary="Who did what on the whole board")
def list_audit(_: Auditor, paging: Paged) -> CountedListing[AuditEntry]:
    """Those that the filter matches, newest first."""
    return entries(paging)
