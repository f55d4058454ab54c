"""What can stand in a filter, of each resource: the reference page, help and suggestions are made of these tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from sqlalchemy import ColumnElement, Float, case, cast, extract, func, literal, select

from callboard.failures import Kind as FailureKind
from callboard.failures import Label
from callboard.filters._ids import Correlation, Id, JobOrId
from callboard.filters._kinds import Choice, Flag, Holds, Text
from callboard.filters._measures import SMALLINT, Age, Bound, Duration, Number, When
from callboard.filters._people import OfTeam, Person
from callboard.ledger import account_tables, tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from callboard.filters._kinds import Kind, Now

Resource = Literal["runs", "failures", "dead_letters", "issues", "audit"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
#: What a dead letter's `state` is when a filter does not say: those that can be replayed.
DEFAULTS: dict[Resource, tuple[str, str]] = {"dead_letters": ("state", "open")}

_KINDS = tuple(kind.value for kind in FailureKind)
_LABELS = tuple(label.value for label in Label)
_RUN, _FAILURE, _LETTER, _ISSUE = (
    table.c for table in (tables.runs, tables.failures, tables.dead_letters, tables.issues)
)
_ACT = account_tables.audit.c


@dataclass(frozen=True)
class Field:
    """One key of a resource.

    Attributes:
        key: What stands before the colon; `text` is what words without one are searched in.
        meaning: Which rows it chooses.
        example: A word that uses it.
        kind: How its values are read.
    """

    key: str
    meaning: str
    example: str
    kind: Kind

    @property
    def values(self) -> tuple[str, ...]:
        """What can stand there, where that is a closed set."""
        if isinstance(self.kind, Choice):
            return self.kind.values
        return ("yes", "no") if isinstance(self.kind, Flag) else ()

    @property
    def compares(self) -> bool:
        """Whether `>`, `>=`, `<` and `<=` may stand before the value."""
        return isinstance(self.kind, Number | Age | Duration | When)


def _took(now: Now) -> ColumnElement[Any]:
    """Seconds that the last attempt ran, so far while it runs."""
    end = case((_RUN.state == "running", now), else_=_RUN.finished_at)
    return cast(extract("epoch", end - _RUN.started_at), Float)


def _silenced(now: Now) -> ColumnElement[bool]:
    return func.coalesce(_ISSUE.silenced_until > now, literal(False))


class _OfIssue(Number):
    """Runs an attempt of which failed with that issue."""

    def where(self, op: str, items: Any, now: Now) -> ColumnElement[bool]:  # noqa: ANN401 - as its base has it
        failed = select(_FAILURE.run_id).where(Number(_FAILURE.issue_id).where(op, items, now))
        return _RUN.id.in_(failed)


def _time(created: ColumnElement[Any], what: str) -> tuple[Field, ...]:
    return (
        Field("age", f"how long ago {what}", "age:>2h", Age(created)),
        Field("since", f"{what} then or later", "since:yesterday", Bound(created, ">=")),
        Field("until", f"{what} earlier", "until:2026-07-01", Bound(created, "<")),
        Field("created", f"when {what}; without a comparison, a day", "created:2026-07-01", When(created)),
    )


_RUNS = (
    Field("text", "part of the job's name, or the beginning of the run's id", "sync", JobOrId(_RUN.job, _RUN.id)),
    Field("id", "the run's id, or its first 4 characters or more", "id:0197c2", Id(_RUN.id)),
    Field("job", "name of the job", "job:sync_*", Text(_RUN.job)),
    Field("state", "where the run stands", "state:failed,cancelled", Choice(_RUN.state, tables.STATES)),
    Field("queue", "the queue that it waits or waited in", "queue:mail", Text(_RUN.queue)),
    Field("trigger", "what asked for it", "trigger:manual:*", Text(_RUN.trigger)),
    Field("scope", 'what "only one at a time" is counted by', "scope:42", Text(_RUN.scope)),
    Field("project", 'whose run it is; `""`: the system\'s own', "project:*", Text(_RUN.project_id)),
    Field("correlation", "correlation id", "correlation:job-0197c2…", Correlation(_RUN.correlation_id, _RUN.id)),
    Field("parent", "the run that caused it", "parent:0197c2", Id(_RUN.parent_id)),
    Field("kind", "failure kind of its last error", "kind:transient,runtime", Choice(_RUN.error_kind, _KINDS)),
    Field(
        "error", "text in its last error or that error's type", "error:timeout", Holds((_RUN.error_type, _RUN.error))
    ),
    Field("issue", "an attempt of it failed with this issue", "issue:12", _OfIssue(_RUN.id)),
    Field("attempt", "how often it was started", "attempt:>1", Number(_RUN.attempt, SMALLINT)),
    Field("duration", "how long the last attempt ran, so far while it runs", "duration:>10m", Duration(_took)),
    Field("worker", "id of the worker process that had it last", "worker:0197c2", Id(_RUN.worker_id)),
    *_time(_RUN.created_at, "it was created"),
    Field("started", "when the last attempt began", "started:>1h", When(_RUN.started_at)),
    Field("finished", "when it ended", "finished:today", When(_RUN.finished_at)),
)

_FAILURES = (
    Field("text", "text in the error or its type", "timeout", Holds((_FAILURE.error_type, _FAILURE.error))),
    Field("id", "number of the failure", "id:1204", Number(_FAILURE.id)),
    Field("run", "the run whose attempt it was", "run:0197c2", Id(_FAILURE.run_id)),
    Field("job", "name of the job", "job:sync_*", Text(_FAILURE.job)),
    Field("queue", "the queue that it ran in", "queue:mail", Text(_FAILURE.queue)),
    Field("kind", "failure kind", "kind:transient", Choice(_FAILURE.kind, _KINDS)),
    Field("retryable", "whether trying again may help", "retryable:yes", Flag(lambda _now: _FAILURE.retryable)),
    Field("label", "what people can do about it", "label:manual_review_required", Choice(_FAILURE.label, _LABELS)),
    Field("issue", "number of the issue that it belongs to", "issue:12", Number(_FAILURE.issue_id)),
    Field(
        "error",
        "text in the error or its type",
        "error:timeout",
        Holds((_FAILURE.error_type, _FAILURE.error)),
    ),
    Field("scope", 'what "only one at a time" is counted by', "scope:42", Text(_FAILURE.scope)),
    Field("project", 'whose run it was; `""`: the system\'s own', "project:*", Text(_FAILURE.project_id)),
    Field("correlation", "correlation id", "correlation:job-0197c2…", Text(_FAILURE.correlation_id)),
    Field("attempt", "which attempt it was", "attempt:>1", Number(_FAILURE.attempt, SMALLINT)),
    *_time(_FAILURE.occurred_at, "it happened"),
)

_LETTERS = (
    Field("text", "text in the error or its type", "timeout", Holds((_LETTER.error_type, _LETTER.error))),
    Field("id", "number of the dead letter", "id:7,9", Number(_LETTER.id)),
    Field("run", "the run that it is of", "run:0197c2", Id(_LETTER.run_id)),
    Field("job", "name of the job", "job:sync_*", Text(_LETTER.job)),
    Field("queue", "the queue that it came from", "queue:mail", Text(_LETTER.queue)),
    Field(
        "state",
        "`open` unless it is said; `*`: every one",
        "state:replayed",
        Choice(_LETTER.state, tables.LETTER_STATES),
    ),
    Field("kind", "failure kind of the last attempt", "kind:poison", Choice(_LETTER.kind, _KINDS)),
    Field("issue", "number of the issue that the last attempt belongs to", "issue:12", Number(_LETTER.issue_id)),
    Field(
        "error",
        "text in the error or its type",
        "error:timeout",
        Holds((_LETTER.error_type, _LETTER.error)),
    ),
    Field("reason", "text in why it was given up on", "reason:attempts", Holds((_LETTER.reason,))),
    Field("scope", 'what "only one at a time" is counted by', "scope:42", Text(_LETTER.scope)),
    Field("project", 'whose run it was; `""`: the system\'s own', "project:*", Text(_LETTER.project_id)),
    Field("correlation", "correlation id", "correlation:job-0197c2…", Text(_LETTER.correlation_id)),
    Field("attempts", "how often it was tried", "attempts:>3", Number(_LETTER.attempts, SMALLINT)),
    Field("by", "who replayed or discarded it", "by:cli:anna", Text(_LETTER.settled_by)),
    Field("replay", "the run that replays it", "replay:0197c2", Id(_LETTER.replay_run_id)),
    *_time(_LETTER.created_at, "it was given up on"),
)

_ISSUES = (
    Field("text", "text in the title", "timeout", Holds((_ISSUE.title,))),
    Field("id", "number of the issue", "id:12", Number(_ISSUE.id)),
    Field("job", "name of the job", "job:sync_*", Text(_ISSUE.job)),
    Field("type", "what kind of trouble it is", "type:job_failure", Text(_ISSUE.type)),
    Field("severity", "how bad it is", "severity:error,critical", Choice(_ISSUE.severity, tables.SEVERITIES)),
    Field("status", "where it stands", "status:open", Choice(_ISSUE.status, tables.ISSUE_STATUSES)),
    Field("silenced", "whether nobody is to be told of it now", "silenced:no", Flag(_silenced)),
    Field("kind", "failure kind", "kind:authentication", Choice(_ISSUE.kind, _KINDS)),
    Field("subject", "the queue, or what is outside, that it is of", "subject:mail", Text(_ISSUE.subject)),
    Field(
        "error", "text in the type of the error or the title", "error:timeout", Holds((_ISSUE.error_type, _ISSUE.title))
    ),
    Field("scope", 'what "only one at a time" is counted by', "scope:42", Text(_ISSUE.scope)),
    Field("project", 'whose it is; `""`: the system\'s own', "project:*", Text(_ISSUE.project_id)),
    Field("occurrences", "how often it happened", "occurrences:>=100", Number(_ISSUE.occurrences)),
    Field("reopened", "how often it came back after it was resolved", "reopened:>0", Number(_ISSUE.reopened)),
    Field("age", "how long ago it happened last", "age:<1d", Age(_ISSUE.last_seen_at)),
    Field("since", "it happened last then or later", "since:yesterday", Bound(_ISSUE.last_seen_at, ">=")),
    Field("until", "it happened last earlier", "until:2026-07-01", Bound(_ISSUE.last_seen_at, "<")),
    Field("first", "when it happened first; without a comparison, a day", "first:>7d", When(_ISSUE.first_seen_at)),
)

_AUDIT = (
    Field("text", "text in the reason that was given", "deploy", Holds((_ACT.why,))),
    Field("id", "number of the row", "id:12", Number(_ACT.id)),
    Field("who", "who did it; an address: that person and their keys", "who:anna@example.org", Person(_ACT.who)),
    Field("action", "what was done", "action:dead_letter.*", Text(_ACT.action)),
    Field("type", "what kind of thing it was done to", "type:queue", Text(_ACT.resource_type)),
    Field("resource", "the id or name of what it was done to", "resource:mail", Text(_ACT.resource_id)),
    Field("team", 'slug or id of the team that it was done for; `""`: none', "team:growth", OfTeam(_ACT.team_id)),
    Field("ip", "where it was asked from", "ip:10.0.*", Text(_ACT.ip)),
    *_time(_ACT.at, "it was done"),
)

#: The keys of each resource, in the order in which people are told of them.
FIELDS: Mapping[Resource, Mapping[str, Field]] = {
    resource: {field.key: field for field in fields}
    for resource, fields in zip(RESOURCES, (_RUNS, _FAILURES, _LETTERS, _ISSUES, _AUDIT), strict=True)
}
