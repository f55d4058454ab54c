"""Failures, issues and dead letters."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from console.api.models._base import Answer, Asked, Json, Line, Time, Why
from console.api.models.runs import Attempt

_Filter = Annotated[Line, Field(min_length=1, description="In the language of the lists; it must say something.")]
_Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Failure(Answer):
    """One failed attempt, in a list."""

    id: int
    run_id: UUID
    issue_id: int | None
    job: str
    queue: str
    scope: str
    project_id: str | None
    attempt: int
    args: Json | None
    kind: str
    retryable: bool
    label: str
    error_type: str
    error: str
    correlation_id: str
    trace_id: str | None
    occurred_at: Time
    duration_seconds: float | None
    retry_state: Json | None = Field(description="Of batch retries: attempts, the last one's time, run and error.")


class FailureDetail(Failure):
    """One failed attempt, with all that is known of it."""

    traceback: str | None
    log: list[Json] | None


class RetryFailures(Asked):
    """Which failures to retry: some ids, or all that a filter matches."""

    ids: Annotated[list[_Id], Field(min_length=1, max_length=1000)] | None = None
    filter: _Filter | None = None
    limit: Annotated[int, Field(ge=1, le=1000, description="With a filter: at most so many, newest first.")] = 20
    force: bool = Field(default=False, description="Also those that are not retryable, or cool down.")
    why: Why = ""


class Retried(Answer):
    """What became of the retry of one failure."""

    failure_id: int
    result: str
    detail: str


class RetriedMany(Answer):
    """What became of each."""

    items: list[Retried]


class Issue(Answer):
    """Failures with one fingerprint, or a state of a queue or of something outside."""

    id: int
    type: str
    severity: Literal["info", "warning", "error", "critical"]
    job: str = Field(description="Empty for an issue of a queue or of something outside.")
    subject: str
    scope: str
    project_id: str | None
    kind: str
    error_type: str
    title: str
    status: Literal["open", "pending", "resolved"]
    occurrences: int
    reopened: int = Field(description="Times it came back after it was resolved.")
    first_seen_at: Time
    last_seen_at: Time
    last_run_id: UUID | None
    status_at: Time | None
    status_by: str | None
    note: str | None
    silenced_until: Time | None
    silenced_by: str | None


def _within_ten_years(moment: datetime) -> datetime:
    if moment > datetime.now(UTC) + timedelta(days=3650):
        raise ValueError("ten years are the most")
    return moment


class FailureOfIssue(Answer):
    """One failed attempt of an issue."""

    id: int
    run_id: UUID
    job: str
    scope: str
    attempt: int
    kind: str
    retryable: bool
    error_type: str
    error: str
    occurred_at: Time


class IssueStory(Issue):
    """One issue, with what it left."""

    letters: int = Field(description="Its dead letters.")
    open_letters: int = Field(description="Those of them that are not settled.")
    failures: list[FailureOfIssue] = Field(description="The last ten, newest first.")


class Silence(Asked):
    """Until when nobody is told of an issue."""

    until: Annotated[AwareDatetime, AfterValidator(_within_ten_years)] | None = Field(
        description="Null: tell again at once."
    )
    why: Why = ""


class Letter(Answer):
    """One dead letter, in a list; its message stays in the ledger."""

    id: int
    run_id: UUID
    issue_id: int | None
    job: str
    queue: str
    scope: str
    project_id: str | None
    args: Json | None = Field(description="Secrets are taken out.")
    kind: str
    reason: str
    error_type: str
    error: str
    attempts: int
    correlation_id: str
    created_at: Time
    state: Literal["open", "replayed", "discarded"]
    settled_at: Time | None
    settled_by: str | None
    settled_why: str | None
    replay_run_id: UUID | None
    replay_args: Json | None = Field(description="What the arguments were changed to, if they were.")


class Kin(Answer):
    """A letter among those it came of and those that came of it."""

    id: int
    run_id: UUID
    issue_id: int | None
    job: str
    args: Json | None
    error_type: str
    error: str
    created_at: Time
    state: Literal["open", "replayed", "discarded"]
    settled_at: Time | None
    settled_by: str | None
    settled_why: str | None
    replay_run_id: UUID | None
    replay_args: Json | None
    replay_state: str | None = Field(description="Where its replay stands.")


class LetterStory(Letter):
    """One dead letter, with all that led to it and came of it."""

    history: list[Attempt] = Field(
        validation_alias="attempts_failed", description="Every failed attempt, oldest first."
    )
    lineage: list[Kin] = Field(description="By replays, oldest first; the letter itself is one of them.")


class Replay(Asked):
    """Replay one dead letter."""

    args: Json | None = Field(None, description="Arguments by name that take the place of the letter's own.")
    why: Why = ""


class ReplayMany(Asked):
    """Replay all open dead letters that a filter matches."""

    filter: _Filter
    why: Why = ""
    rate: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = Field(
        None, description="At most so many a second; null: as fast as it goes."
    )
    canary: bool = Field(default=False, description="Wait for the first one's run, and go on only if it completes.")
    stop_on_same: bool = Field(default=True, description="Stop when a replayed one fails in the same way.")
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class ReplayEvent(Answer):
    """What became of one letter of a bulk replay, or why the whole ended early."""

    letter_id: int | None = None
    result: Literal["replayed", "refused", "canary_ok", "canary_failed", "same_failure", "stopped", "error"]
    detail: str = Field(description="The new run's id, or why there is none, or why it ended.")
    run_id: UUID | None = None
    issue_id: int | None = Field(None, description="The issue that is back, of `same_failure`.")
    left: int | None = Field(None, description="Letters left as they were, where it ended early.")


class IssueShare(Answer):
    """How many of the letters are of one issue."""

    id: int
    title: str
    status: str
    count: int


class ReplayPlan(Answer):
    """What a replay would do."""

    count: int
    by_job: dict[str, int]
    by_issue: list[IssueShare]
    oldest: Time | None
    newest: Time | None
    unknown_jobs: dict[str, int] = Field(description="Would be refused: no loaded module declares them.")
    single_conflicts: dict[str, int] = Field(description="Would be refused now: a run of theirs is under way.")


class Chosen(Asked):
    """All open dead letters that a filter matches."""

    filter: _Filter


class DiscardMany(Asked):
    """Discard all open dead letters that a filter matches."""

    filter: _Filter
    why: Why = ""


class Discarded(Answer):
    """How many were given up for good."""

    discarded: int
