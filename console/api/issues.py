"""`/v1/issues`: failures with one fingerprint folded into one, and what people do about them."""

from fastapi import APIRouter

from callboard.ledger import issues as ledger
from callboard.ledger.database import transaction
from callboard.operations import issues as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Number, Paged, listing
from console.api._problems import documented
from console.api.models import CountedListing, Issue, IssueStory, Reason, Silence

router = APIRouter(prefix="/v1/issues", tags=["issues"], responses=documented(404))


@router.get("", operation_id="list_issues", summary="Issues, last seen first")
def list_issues(paging: Paged, _: Reader) -> CountedListing[Issue]:
    """Those that the filter matches, page by page."""
    return CountedListing[Issue].model_validate(listing("issues", paging))


@router.get("/{issue_id}", operation_id="get_issue", summary="One issue")
def get_issue(issue_id: Number, _: Reader) -> IssueStory:
    """All its failures are `/v1/failures?filter=issue:<id>`, its letters `/v1/dead-letters?filter=issue:<id>`."""
    with transaction() as connection:
        issue = ledger.get(connection, issue_id)
        failed = ledger.latest_failures(connection, issue_id)
        return IssueStory.model_validate({**issue, **ledger.letters(connection, issue_id), "failures": failed})


@router.post("/{issue_id}/resolve", operation_id="resolve_issue", summary="Say that it is mended")
def resolve(issue_id: Number, asked: Reason, _: Operator, who: WhoAsks) -> Issue:
    """It opens again when it comes back."""
    return Issue.model_validate(operations.resolve(issue_id, who=who, why=asked.why))


@router.post("/{issue_id}/take", operation_id="take_issue", summary="Say that you work on it")
def take(issue_id: Number, asked: Reason, _: Operator, who: WhoAsks) -> Issue:
    """Its status is `pending` from now on."""
    return Issue.model_validate(operations.take(issue_id, who=who, why=asked.why))


@router.post("/{issue_id}/reopen", operation_id="reopen_issue", summary="Open it again")
def reopen(issue_id: Number, asked: Reason, _: Operator, who: WhoAsks) -> Issue:
    """For one that was resolved or taken by mistake."""
    return Issue.model_validate(operations.reopen(issue_id, who=who, why=asked.why))


@router.post("/{issue_id}/silence", operation_id="silence_issue", summary="Tell nobody of it for a while")
def silence(issue_id: Number, asked: Silence, _: Operator, who: WhoAsks) -> Issue:
    """It goes on counting."""
    return Issue.model_validate(operations.silence(issue_id, asked.until, who=who, why=asked.why))
