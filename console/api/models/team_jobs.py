"""Runs, as the people of a team see them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Asked, Json, Line, SearchedUntil, Time
from console.api.models.runs import Progress, State


class Result(Answer):
    """What a run says it has done."""

    counts: Json
    notes: Json


class JobRun(Answer):
    """One run of a project."""

    id: UUID
    job_type: str
    status: State
    team_id: UUID
    project_id: UUID
    triggered_by: str
    params: Json = Field(description="The arguments without the project; secrets are taken out.")
    progress: Progress | None
    result: Result | None = Field(description="Null while it has neither counted nor noted anything.")
    error: str | None
    notify: bool
    started_at: Time | None
    completed_at: Time | None
    created_at: Time


class JobRuns(Answer):
    """One page of a team's runs, newest first."""

    job_runs: list[JobRun]
    cursor: str | None
    has_more: bool
    searched_until: SearchedUntil = None


class TriggerJob(Asked):
    """Ask for a run of a project's job."""

    job_type: Annotated[Line, Field(min_length=1)]
    project_id: UUID | None = None
    params: Json = Field(default_factory=dict)
    notify: bool = Field(default=False, description="Mail whoever asks when it is done; for a key: its owner.")


class Triggered(Answer):
    """The run that was asked for."""

    job_run: JobRun


class JobCancelled(Answer):
    """It is over, or was asked to stop."""

    cancelled: Literal[True] = True
