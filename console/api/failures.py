"""`/v1/failures`: each failed attempt, and the retry of those that may be tried again."""

from fastapi import APIRouter

from callboard.errors import Invalid
from callboard.filters import parse
from callboard.ledger import failures as ledger
from callboard.ledger import pages
from callboard.ledger.database import transaction
from callboard.operations import failures as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Number, Paged, listing
from console.api._problems import documented
from console.api.models import CountedListing, Failure, FailureDetail, Retried, RetriedMany, RetryFailures

router = APIRouter(prefix="/v1/failures", tags=["failures"], responses=documented(404))


@router.get("", operation_id="list_failures", summary="Failed attempts, newest first")
def list_failures(paging: Paged, _: Reader) -> CountedListing[Failure]:
    """Those that the filter matches, page by page."""
    return CountedListing[Failure].model_validate(listing("failures", paging))


@router.get("/{failure_id}", operation_id="get_failure", summary="One failed attempt")
def get_failure(failure_id: Number, _: Reader) -> FailureDetail:
    """With its traceback and the last lines that the attempt logged."""
    with transaction() as connection:
        return FailureDetail.model_validate(ledger.get(connection, failure_id))


@router.post("/retry", operation_id="retry_failures", summary="Try failed work again, as new runs")
def retry(asked: RetryFailures, _: Operator, who: WhoAsks) -> RetriedMany:
    """Of ids, or of what a filter matches; the answer says of each what became of it."""
    ids = _chosen(asked)
    told = operations.retry(ids, who=who, why=asked.why, force=asked.force)
    return RetriedMany(items=[Retried.model_validate(result) for result in told])


def _chosen(asked: RetryFailures) -> list[int]:
    if (asked.ids is None) == (asked.filter is None):
        raise Invalid("ids", "give either ids or a filter: they say which failures are meant.")
    if asked.filter is None:
        return asked.ids or []
    chosen = parse(asked.filter, "failures")
    with transaction() as connection:
        return [row["id"] for row in pages.page(connection, chosen, limit=asked.limit).rows]
