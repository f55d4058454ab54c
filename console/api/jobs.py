"""`/v1/jobs`: what is declared, and a run of any of it for whoever works the whole board."""

from datetime import UTC, datetime

from fastapi import APIRouter

from callboard.operations import runs as operations
from callboard.views import jobs as views
from console.api._doors import Operator, Reader, WhoAsks
from console.api._problems import documented
from console.api.models import Jobs, Started, Trigger

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=documented(404))


@router.get("", operation_id="list_jobs", summary="All declared jobs")
def list_jobs(_: Reader) -> Jobs:
    """By name."""
    return Jobs.model_validate({"items": views.listing(now=datetime.now(UTC))})


@router.post(
    "/trigger",
    operation_id="trigger_job",
    status_code=201,
    responses=documented(404, 409),
    summary="Ask for a run of any job now",
)
def trigger(asked: Trigger, _: Operator, who: WhoAsks) -> Started:
    """409 if the job is single and a run is pending or running already; `existing_run_id` names it."""
    facts = operations.trigger(asked.job, asked.args, who=who, why=asked.why, notify=tuple(asked.notify))
    return Started.model_validate(facts)
