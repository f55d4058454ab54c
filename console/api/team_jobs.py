"""`/v1/teams/{team}/jobs` and `/v1/jobs/{id}`: the runs of projects, for the people of their teams.

Runs of the system's own are not there: they answer as if they never were, whoever asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from callboard.accounts import permissions
from callboard.accounts.permissions import Permission
from callboard.errors import DuplicateRun, Forbidden, Invalid, NotFound
from callboard.filters import parse
from callboard.job import Job, all_jobs
from callboard.ledger import listing as ledger
from callboard.ledger.audit import Who
from callboard.ledger.database import transaction
from callboard.operations import runs as operations
from callboard.spec import PROJECT
from console import deps
from console.api import _teams
from console.api._doors import InTeam, Me, TeamReader, TeamRunner, knows
from console.api._lists import NO_NUL, Cursor, FilterText, Limit, Paging, listing
from console.api._problems import documented
from console.api.models import JobCancelled, JobRun, JobRuns, Triggered, TriggerJob
from console.api.models.runs import State

router = APIRouter(prefix="/v1", tags=["team jobs"], responses=documented(404))

_PROJECT_OF = text("select project_id from board.runs where id = :id")
_DUPLICATE = "A job of this type is already running or pending"
_Moment = Annotated[
    str | None,
    Query(max_length=40, pattern=NO_NUL, description="So long ago, as `1h` or `7d`, or a moment in ISO 8601."),
]
_Word = Annotated[str | None, Query(max_length=100, pattern=NO_NUL)]


@router.get("/teams/{team}/jobs", operation_id="list_team_jobs", summary="Runs of a team's projects, newest first")
def list_runs(  # noqa: PLR0913 - a parameter for each filter
    at: TeamReader,
    *,
    job_type: _Word = None,
    status: Annotated[State | None, Query()] = None,
    project_id: Annotated[UUID | None, Query()] = None,
    since: _Moment = None,
    until: _Moment = None,
    filter: FilterText = "",  # noqa: A002 - the parameter's name
    cursor: Cursor = None,
    limit: Limit = 50,
) -> JobRuns:
    """Each parameter narrows; `filter` says the same and more in one language."""
    chosen = parse(filter, "runs")
    for key, value in {"job": job_type, "state": status, "since": since, "until": until}.items():
        chosen = chosen if value is None else chosen.and_(key, value)
    projects = _projects(at) if project_id is None else _projects(at) & {str(project_id)}
    page = listing("runs", Paging(cursor=cursor, limit=limit), projects=projects, chosen=chosen)
    return JobRuns.model_validate(page | {"job_runs": [_shown(run, at.team.id) for run in page["items"]]})


@router.post(
    "/teams/{team}/jobs/trigger",
    operation_id="trigger_team_job",
    status_code=201,
    response_model=Triggered,
    responses=documented(404, 409),
    summary="Ask for a run of a project's job",
)
def trigger(asked: TriggerJob, at: TeamRunner) -> Any:  # noqa: ANN401 - the answer, or the run that is in its way
    """403 also for a team that whoever asks is not in; 409 names the run that is pending or running already."""
    job, project_id = _meant(asked, at)
    notify = (at.me.email,) if asked.notify else ()
    arguments = asked.params | {PROJECT: str(project_id)}
    try:
        facts = operations.trigger(job.spec.name, arguments, who=at.who, notify=notify)
    except DuplicateRun as error:
        return JSONResponse({"error": _DUPLICATE, **_existing(error.existing, at)}, 409)
    with transaction() as connection:
        run = ledger.run(connection, str(facts.id))
    return Triggered(job_run=_shown(run, at.team.id))


@dataclass(frozen=True)
class RunOfTeam:
    """A project's run, its team, and who asks."""

    run: Mapping[Any, Any]
    team_id: UUID
    who: Who


@dataclass(frozen=True)
class RunDoor:
    """Lets in who may do this in the team of the run; one that they may not know of is not there."""

    permission: Permission

    def __call__(self, request: Request, me: Me, run_id: UUID) -> RunOfTeam:
        """The run."""
        run, team_id = _found(run_id, me)
        permissions.require(me, self.permission, team_id=team_id)
        return RunOfTeam(run, team_id, deps.who(request, team_id))


@router.get("/jobs/{run_id}", operation_id="get_team_job", summary="One run of a project")
def get_run(at: Annotated[RunOfTeam, Depends(RunDoor(Permission.TEAM_READ))]) -> JobRun:
    """With its progress, result and error."""
    return _shown(at.run, at.team_id)


@router.post("/jobs/{run_id}/cancel", operation_id="cancel_team_job", summary="Cancel a run of a project")
def cancel(at: Annotated[RunOfTeam, Depends(RunDoor(Permission.TEAM_RUN))]) -> JobCancelled:
    """A pending run is over at once; a running one is asked to stop. 400 for one that has ended."""
    try:
        operations.cancel(at.run["id"], who=at.who)
    except NotFound:
        with transaction() as connection:  # it may have ended since we looked
            run = ledger.run(connection, str(at.run["id"]))
        raise Invalid("run_id", f"Cannot cancel a job with status {run['state']}") from None
    return JobCancelled()


def _projects(at: InTeam) -> set[str]:
    with transaction() as connection:
        return _teams.project_ids(connection, at.team.id)


def _meant(asked: TriggerJob, at: InTeam) -> tuple[Job[Any, Any], UUID]:
    """The job and the project.

    Raises:
        Invalid: No project can have such a job, or no project is named.
        Forbidden: It asks for a scope that this key lacks.
        NotFound: The team has no such project.
    """
    job = all_jobs().get(asked.job_type)
    if job is None:
        raise Invalid("job_type", f"Unknown job type {asked.job_type!r}")
    if job.spec.scope != "project":
        raise Invalid("job_type", f"{asked.job_type} is a system job; projects cannot trigger it")
    if at.me.scopes is not None and job.spec.permission not in at.me.scopes:
        raise Forbidden(f"{asked.job_type} asks for the scope {job.spec.permission}, which this key lacks.")
    if asked.project_id is None:
        raise Invalid("project_id", "project_id is missing: say whose run it is to be.")
    if PROJECT in asked.params:
        raise Invalid("params", f"{PROJECT} stands beside params, not in them.")
    if str(asked.project_id) not in _projects(at):
        raise NotFound(f"{at.team.name} has no project {asked.project_id}.")
    return job, asked.project_id


def _existing(run_id: UUID, at: InTeam) -> dict[str, str]:
    """What may be told of the run in the way: a job may be single by something that several teams share."""
    with transaction() as connection:
        project = connection.execute(_PROJECT_OF, {"id": run_id}).scalar_one_or_none()
    return {"existing_run_id": str(run_id)} if project in _projects(at) else {}


def _found(run_id: UUID, me: Me) -> tuple[Mapping[Any, Any], UUID]:
    """A project's run and its team.

    Raises:
        NotFound: There is none, or none that they may know of.
    """
    unknown = NotFound(f"No job run has the id {run_id}.")
    with transaction() as connection:
        project = connection.execute(_PROJECT_OF, {"id": run_id}).scalar_one_or_none()
        team_id = None if project is None else permissions.team_of_project(connection, project)
        if team_id is None or not knows(me, team_id):
            raise unknown
        return ledger.run(connection, str(run_id)), team_id


def _shown(run: Mapping[Any, Any], team_id: UUID) -> JobRun:
    given = {name: value for name, value in (run["args"] or {}).items() if name != PROJECT}
    counts, notes = run["counts"] or {}, run["notes"] or {}
    return JobRun(
        id=run["id"],
        job_type=run["job"],
        status=run["state"],
        team_id=team_id,
        project_id=run["project_id"],
        triggered_by=run["trigger"],
        params=given,
        progress=run["progress"],
        result={"counts": counts, "notes": notes} if counts or notes else None,
        error=run["error"],
        notify=bool(run["notify"]),
        started_at=run["started_at"],
        completed_at=run["finished_at"],
        created_at=run["created_at"],
    )
