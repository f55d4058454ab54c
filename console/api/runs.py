"""`/v1/runs`: every run of the board, for its operators."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path

from callboard.filters import parse
from callboard.ledger import listing as ledger
from callboard.ledger.database import transaction
from callboard.operations import runs as operations
from callboard.views import story
from callboard.waiting import times
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Paged, listing
from console.api._problems import documented
from console.api.models import Cancelled, CancelledMany, CancelMany, CountedListing, Reason, Run, RunStory

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=documented(404))

RunId = Annotated[
    str, Path(min_length=4, max_length=36, pattern="^[0-9a-fA-F-]+$", description="Its id, or how it begins.")
]


@router.get("", operation_id="list_runs", summary="Runs, newest first")
def list_runs(paging: Paged, _: Reader) -> CountedListing[Run]:
    """Those that the filter matches, page by page."""
    page, now = listing("runs", paging), datetime.now(UTC)
    return CountedListing[Run].model_validate(page | {"items": [_row(run, now) for run in page["items"]]})


@router.post("/cancel", operation_id="cancel_runs", summary="Cancel all pending and running runs that a filter matches")
def cancel_many(asked: CancelMany, _: Operator, who: WhoAsks) -> CancelledMany:
    """Oldest first; runs that have ended meanwhile are left alone."""
    chosen = parse(asked.filter, "runs")
    told = operations.cancel_many(chosen, who=who, why=asked.why, limit=asked.limit)
    return CancelledMany.model_validate(told)


@router.get("/{run_id}", operation_id="get_run", summary="All that is known of a run")
def get_run(run_id: RunId, _: Reader) -> RunStory:
    """Its attempts, why it waits, what it caused and what came of it."""
    now = datetime.now(UTC)
    with transaction() as connection:
        told = story.tell(connection, run_id, now=now)
    near = {name: getattr(told, name) for name in _TOLD}
    run = told.run
    row = _row(run, now) | {"log": run["log"]}
    return RunStory.model_validate(row | near | {"waits": [asdict(one) for one in told.waits]})


@router.post("/{run_id}/cancel", operation_id="cancel_run", summary="Cancel a run")
def cancel(run_id: RunId, asked: Reason, _: Operator, who: WhoAsks) -> Cancelled:
    """404 if none of that id is pending or running."""
    with transaction() as connection:
        run = ledger.run(connection, run_id)
    return Cancelled(state=operations.cancel(run["id"], who=who, why=asked.why))


_TOLD = ("failures", "children", "parent", "letter", "replayed_from", "tokens", "notifications", "timeline")


def _row(run: Any, now: datetime) -> dict[str, Any]:  # noqa: ANN401 - a row of the ledger
    told = times(run, now)
    return dict(run) | {
        "wait_seconds": told.wait,
        "duration_seconds": told.run,
        "end_to_end_seconds": told.end_to_end,
    }
