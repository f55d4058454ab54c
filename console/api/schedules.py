"""`/v1/schedules`: the recurring jobs; pause one, resume it, run it now."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from callboard.ledger.database import transaction
from callboard.operations import schedules as operations
from callboard.views import schedules as views
from console.api._doors import Operator, Reader, WhoAsks
from console.api._problems import documented
from console.api.models import Reason, Schedule, Schedules, Started

router = APIRouter(prefix="/v1/schedules", tags=["schedules"], responses=documented(404))

JobName = Annotated[str, Path(max_length=100, pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$", description="The job's name.")]


@router.get("", operation_id="list_schedules", summary="All schedules")
def list_schedules(
    _: Reader,
    *,
    everything: Annotated[bool, Query(alias="all", description="Those too that are not declared any more.")] = False,
    ticks: Annotated[int, Query(ge=0, le=100, description="How many of the last ticks of each.")] = 24,
) -> Schedules:
    """By name, with their next fires and last ticks."""
    with transaction() as connection:
        found = views.listing(connection, now=datetime.now(UTC), everything=everything, ticks=ticks)
    return Schedules(items=[Schedule.model_validate(one) for one in found])


@router.get("/{job}", operation_id="get_schedule", summary="One schedule with its last ticks")
def get_schedule(job: JobName, _: Reader, ticks: Annotated[int, Query(ge=0, le=1000)] = 100) -> Schedule:
    """With more of its past than the list has."""
    return _one(job, ticks)


@router.post("/{job}/pause", operation_id="pause_schedule", summary="Stop a schedule from firing")
def pause(job: JobName, asked: Reason, _: Operator, who: WhoAsks) -> Schedule:
    """What runs goes on; what is due meanwhile is skipped."""
    operations.pause(job, who=who, why=asked.why)
    return _one(job)


@router.post("/{job}/resume", operation_id="resume_schedule", summary="Let it fire again")
def resume(job: JobName, asked: Reason, _: Operator, who: WhoAsks) -> Schedule:
    """What it has missed is not made up for."""
    operations.resume(job, who=who, why=asked.why)
    return _one(job)


@router.post(
    "/{job}/run",
    operation_id="run_schedule_now",
    status_code=201,
    responses=documented(404, 409),
    summary="Run its job now, beside the schedule",
)
def run_now(job: JobName, asked: Reason, _: Operator, who: WhoAsks) -> Started:
    """Paused or not; 409 if a run is pending or running already."""
    with transaction() as connection:
        views.one(connection, job, now=datetime.now(UTC), ticks=0)
    return Started.model_validate(operations.run_now(job, who=who, why=asked.why))


def _one(job: str, ticks: int = 24) -> Schedule:
    with transaction() as connection:
        return Schedule.model_validate(views.one(connection, job, now=datetime.now(UTC), ticks=ticks))
