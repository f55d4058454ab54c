"""The two log events of every run, `job.started` and `job.finished`; the renderer makes the user's lines of them."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from callboard.ledger.facts import Refused
from callboard.outcome import Cancelled, Completed, Failed, Interrupted, Outcome, PutOff, Retry

if TYPE_CHECKING:
    from callboard.ledger.facts import RunFacts
    from callboard.outcome import Failure
    from callboard.run import Run
    from callboard.spec import JobSpec

logger: structlog.stdlib.BoundLogger = structlog.get_logger("callboard.run")
_gate = logging.getLogger("callboard.run")  # asked first: a line that nobody will read is not put together

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LOUD = (Retry, Failed)
_STATUS: dict[type[Outcome], str] = {
    Completed: "success",
    Retry: "retry",
    Failed: "dead_letter",
    Cancelled: "cancelled",
    Interrupted: "interrupted",
    PutOff: "postponed",
}


def started(run: Run, spec: JobSpec, *, eligible_at: datetime | None = None) -> None:
    """An attempt begins, which could have done so since `eligible_at`."""
    if not _gate.isEnabledFor(_LEVELS[spec.log_level]):
        return
    now = datetime.now(UTC)
    _log(
        spec.log_level,
        "job.started",
        job=run.job,
        trigger=run.trigger,
        attempt=run.attempt,
        id=run.display_id,
        started_at=now,
        scheduled_for=run.scheduled_for,
        missed=run.missed or None,
        wait_ms=_wait_ms(now, eligible_at),
    )


def finished(
    facts: RunFacts,
    outcome: Outcome | Refused,
    *,
    run: Run | None = None,
    milliseconds: int = 0,
    fenced: bool = False,
    retries: int = 0,
    began: float | None = None,
) -> None:
    """An attempt ended, or was turned away; `began` is when it did by `time.monotonic()`."""
    level = "warning" if type(outcome) in _LOUD else "info"
    if not _gate.isEnabledFor(_LEVELS[level]):
        return
    fields: dict[str, Any] = {"job": facts.job, "trigger": facts.trigger, "attempt": retries + 1, "id": str(facts.id)}
    fields |= _names(facts)
    if began is not None:
        ago = timedelta(seconds=time.monotonic() - began)
        fields["wait_ms"] = _wait_ms(datetime.now(UTC) - ago, facts.eligible_at)
    if run is not None:
        fields |= {} if run.trace is None else run.trace.fields()
        fields |= {"attempt": run.attempt, "id": run.display_id, "counts": run.counts, "notes": run.notes}
    fields |= {"duration_ms": milliseconds} | _ending(outcome, fenced=fenced)
    _log(level, "job.finished", **fields)


def _names(facts: RunFacts) -> dict[str, Any]:
    """What a line within a run has from its context: the end of a run is told by another thread."""
    name = str(facts.id)
    schedule = {"schedule": facts.job} if facts.trigger == "schedule" else {}
    return {
        "run_id": name,
        "message_id": name,
        "queue": facts.queue,
        "correlation_id": facts.correlation_id,
        **schedule,
    }


def _wait_ms(start: datetime, eligible_at: datetime | None) -> int | None:
    """Whole milliseconds; two clocks may disagree by some, and nobody waits for less than none."""
    return None if eligible_at is None else max(round((start - eligible_at).total_seconds() * 1000), 0)


def _ending(outcome: Outcome | Refused, *, fenced: bool) -> dict[str, Any]:
    if fenced:
        return {"status": "skipped", "reason": "fenced: another attempt has the run"}
    match outcome:
        case Refused(reason, _, detail):
            status = "dead_letter" if reason == "poison" else "skipped"
            return {"status": status, "reason": f"{reason} {detail}".strip()}
        case Retry(failure, delay):
            return {"status": "retry", "retry_in": round(delay, 1), **_error(failure)}
        case Failed(failure, reason):
            return {"status": "dead_letter", "reason": reason, **_error(failure)}
        case PutOff(delay, why):
            return {"status": "postponed", "retry_in": round(delay, 1), "reason": why}
        case _:
            return {"status": _STATUS[type(outcome)]}


def _error(failure: Failure) -> dict[str, str]:
    return {"error_type": failure.error_type, "error": failure.error, "stack": failure.traceback}


def _log(level: str, event: str, **fields: object) -> None:
    getattr(logger, level)(event, **{key: value for key, value in fields.items() if value is not None})
