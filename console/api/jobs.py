"""`/v1/jobs`: what is declared, and a run of any of it for whoever works the whole board."""

import inspect
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from callboard.job import Job as Declared
from callboard.job import all_jobs
from callboard.operations import runs as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._problems import documented
from console.api.models import Job, Jobs, Started, Trigger

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=documented(404))


@router.get("", operation_id="list_jobs", summary="All declared jobs")
def list_jobs(_: Reader) -> Jobs:
    """By name."""
    return Jobs(items=[_job(job) for job in all_jobs().values()])


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


def _job(job: Declared[Any, Any]) -> Job:
    spec = job.spec
    cadence = spec.cadence
    return Job(
        job=spec.name,
        queue=spec.queue,
        cadence=None if cadence is None else str(cadence),
        cadence_words=None if cadence is None else cadence.describe(),
        next_at=None if cadence is None else cadence.after(datetime.now(UTC)),
        time_limit_seconds=spec.time_limit,
        single=spec.is_single,
        single_per=spec.single_by,
        durable=spec.is_durable,
        on_crash=spec.on_crash,
        retry=repr(spec.retry),
        priority=spec.priority,
        scope=spec.scope,
        permission=spec.permission,
        owner=spec.owner,
        module=spec.fn.__module__,
        doc=spec.doc,
        arguments=list(inspect.signature(spec.fn).parameters),
    )
