"""The log events that other programs, and people with grep, may rely on; docs/reference/events.md is built from here.

Any other event is named by the code that logs it; the reference page finds those in the source.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "COMMON_FIELDS",
    "EVENTS",
    "JOB_FINISHED",
    "JOB_STARTED",
    "LINES_LOST",
    "MESSAGE",
    "STATUSES",
    "UNREADABLE",
    "Event",
]

JOB_STARTED = "job.started"
JOB_FINISHED = "job.finished"
MESSAGE = "log.message"
LINES_LOST = "log.lines_lost"
UNREADABLE = "log.unreadable"


@dataclass(frozen=True, slots=True)
class Event:
    """One documented event; `fields` are in the order in which the engine names them."""

    name: str
    level: str
    meaning: str
    fields: tuple[str, ...] = ()


#: What `job.finished` may say of an attempt, and what that means.
STATUSES = {
    "success": "the attempt did its work",
    "retry": "it failed and will be tried again",
    "dead_letter": "it failed and was given up on; the message is a dead letter that can be replayed",
    "cancelled": "somebody cancelled the run",
    "skipped": "it did not start, and `reason` says why",
    "interrupted": "the worker was stopped in the middle of it; the message goes back to its queue",
    "postponed": "the job said that it cannot be done now, and why; it comes back in `retry_in` seconds",
}

EVENTS = (
    Event(
        JOB_STARTED,
        "info",
        "An attempt of a run begins. In text, only a scheduled run says so.",
        ("job", "trigger", "id", "attempt", "scheduled_for", "started_at", "missed", "wait_ms"),
    ),
    Event(
        JOB_FINISHED,
        "info, or warning for retry and dead_letter",
        "An attempt of a run has ended, with what it counted and noted.",
        (
            "job",
            "trigger",
            "id",
            "attempt",
            "status",
            "counts",
            "notes",
            "duration_ms",
            "wait_ms",
            "reason",
            "error_type",
            "error",
            "retry_in",
        ),
    ),
    Event(MESSAGE, "as logged", "Prose, from a library or from code that names no event; it stands in `msg`."),
    Event(LINES_LOST, "error", "The stream took no lines for a while, and takes them again.", ("count",)),
    Event(UNREADABLE, "error", "A record could not be rendered; its logger and the reason are all that is left of it."),
)

#: The fields that any JSON line may have, in their order. One that does not apply is left out.
COMMON_FIELDS = {
    "ts": "time of the event, RFC 3339, UTC, milliseconds",
    "level": "debug, info, warning, error, critical",
    "logger": "module that logged",
    "event": "name of the event; `log.message` for prose",
    "msg": "the line as a person reads it",
    "service": "process kind: worker, scheduler, exporter, cli",
    "version": "version of callboard",
    "instance": "host or pod",
    "pid": "process id",
    "thread": "name of the thread",
    "run_id": "run in the ledger",
    "message_id": "message in the broker",
    "job": "name of the job",
    "actor": "the same, under the name that it has as a label of the metrics",
    "queue": "queue of the message",
    "schedule": "name of the schedule that fired",
    "trigger": "what asked for the run",
    "attempt": "number of the attempt, from 1",
    "outcome": "status of the attempt, as in the table above",
    "duration_ms": "run time of the attempt in milliseconds",
    "wait_ms": "time from being due to being started in milliseconds",
    "error_type": "class of the exception",
    "error": "its message",
    "stack": "its traceback",
    "correlation_id": "`job-<uuid>`, the same for a run and all it caused",
    "trace_id": "trace that the line belongs to, where traces are on",
    "span_id": "its span: the attempt, or what the job itself has begun within it",
    "sampled": "whether that trace is kept",
    "tenant": "from the baggage of whoever sent the message, where traces are on",
    "request_id": "the same",
}
