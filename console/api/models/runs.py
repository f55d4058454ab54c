"""Runs, as operators see them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Asked, Json, Line, Time, Why

State = Literal["pending", "running", "completed", "failed", "cancelled"]


class Progress(Answer):
    """How far a run is, as its job says."""

    processed: int | float = 0
    total: int | float | None = None
    message: str | None = None


class Run(Answer):
    """One run; durations in seconds."""

    id: UUID
    job: str
    queue: str
    state: State
    trigger: str = Field(description="`schedule`, `manual:user:<id>`, `manual:api_key:<id>`, `job:<id>`, ...")
    scope: str
    correlation_id: str
    parent_id: UUID | None
    project_id: str | None = Field(description="Whose run it is; null for the system's own.")
    args: Json | None = Field(description="Secrets are taken out.")
    scheduled_for: Time | None
    missed: int = Field(description="Missed ticks that this run stands for.")
    attempt: int
    crashes: int
    created_at: Time
    eligible_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    retry_at: Time | None
    cancel_requested_at: Time | None
    cancel_requested_by: str | None
    counts: Json | None
    notes: Json | None
    progress: Progress | None
    reason: str | None = Field(description="Why it ended as it did, or waits.")
    error_kind: str | None
    error_type: str | None
    error: str | None
    trace_id: str | None = None
    history: list[Json] | None = Field(None, description="What was not an ordinary start and finish.")
    wait_seconds: float | None = None
    duration_seconds: float | None = None
    end_to_end_seconds: float | None = None


class Waits(Answer):
    """One thing that keeps a run from running."""

    kind: str
    text: str
    command: str = Field(description="The command that looks into it or mends it; empty if nothing does.")
    until: Time | None


class Attempt(Answer):
    """A failed attempt of the run."""

    id: int
    attempt: int
    occurred_at: Time
    kind: str
    retryable: bool
    label: str
    error_type: str
    error: str
    traceback: str | None
    issue_id: int | None
    log: list[Json] | None
    duration_seconds: float | None
    trace_id: str | None


class Child(Answer):
    """A run near to this one."""

    id: UUID
    job: str
    state: State
    created_at: Time


class Tokens(Answer):
    """What language models were asked in a run."""

    category: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int


class Notification(Answer):
    """Who was told of a run."""

    event: str
    channel: str
    target: str
    state: Literal["pending", "sent", "failed"]
    attempts: int
    error: str | None
    created_at: Time
    sent_at: Time | None


class Moment(Answer):
    """One thing that happened to a run."""

    at: Time
    kind: Literal["due", "created", "started", "failed", "event", "cancel", "finished", "retry"]
    text: str
    attempt: int | None


class LetterOfRun(Answer):
    """The dead letter of a run."""

    id: int
    run_id: UUID
    state: Literal["open", "replayed", "discarded"]
    kind: str
    reason: str
    created_at: Time
    settled_at: Time | None
    settled_by: str | None
    settled_why: str | None
    replay_run_id: UUID | None
    replay_args: Json | None


class RunStory(Run):
    """All that is known of a run."""

    waits: list[Waits] = Field(description="What holds it up now comes first.")
    log: list[Json] | None = Field(description="The last lines that the last attempt logged itself.")
    failures: list[Attempt] = Field(description="Oldest first.")
    children: list[Child]
    parent: Child | None
    letter: LetterOfRun | None
    replayed_from: LetterOfRun | None = Field(description="The dead letter that this run replays.")
    tokens: list[Tokens]
    notifications: list[Notification]
    timeline: list[Moment] = Field(description="What happened to it, oldest first.")


class Cancelled(Answer):
    """What became of a request to cancel."""

    cancelled: Literal[True] = True
    state: Literal["cancelled", "requested"] = Field(
        description="`cancelled`: it had not started. `requested`: it runs, and hears of it within a second."
    )


class CancelMany(Asked):
    """Cancel all pending and running runs that a filter matches."""

    filter: Annotated[Line, Field(min_length=1, description="In the language of the lists; it must say something.")]
    why: Why = ""
    limit: Annotated[int, Field(ge=1, le=10_000, description="Cancel at most so many, oldest first.")] = 1000


class CancelledMany(Answer):
    """What became of them."""

    cancelled: int = Field(description="Had not started.")
    requested: int = Field(description="Run, and were asked to stop.")
    has_more: bool = Field(description="True if the limit was met; ask again for the rest.")


class Trigger(Asked):
    """Ask for a run of any job."""

    job: Annotated[Line, Field(min_length=1)]
    args: Json = Field(default_factory=dict)
    notify: Annotated[
        list[Annotated[str, Field(pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", max_length=254)]],
        Field(max_length=20, default_factory=list, description="Mail addresses to tell when it is done."),
    ]
    why: Why = ""


class Started(Answer):
    """The run that was asked for."""

    id: UUID
    job: str
    queue: str
    correlation_id: str
    created_at: Time
