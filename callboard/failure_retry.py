"""Retry failed runs whose failure is likely to have passed: each as a new run, through its dead letter.

    candidates: retryable, no authentication, of the last 72 hours, newest first, with an open dead letter
    skipped:    retried often enough; too soon after the last retry; job not loaded, or its run already there;
                or the job's own `actionable` says that a retry makes no sense any more

How often a failure was retried is counted along the chain: when the retry's run fails in its turn, that failure goes on
counting where this one stopped. A retry that goes well leaves the failure's row as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import structlog
from dramatiq.errors import ConnectionClosed

from callboard import news
from callboard.compose import get_broker
from callboard.envelope import KEY, facts_of
from callboard.errors import CallboardError, DuplicateRun, NotActionable, ReplayRefused
from callboard.ledger import dead_letters, failure_retries
from callboard.ledger.database import transaction
from callboard.replay import again, send, write
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq import Broker, Message
    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.replay import Again
    from callboard.spec import JobSpec

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# The bounds within which a sweep may be asked for, from RetryFailedBackgroundJobs.
_LIMITS, _ATTEMPTS, _COOLDOWNS = (1, 200), (1, 10), (60.0, 7200.0)
_SCANNED_PER_RETRY = 5


@dataclass(frozen=True, slots=True)
class RetryResult:
    """What became of one failure; `detail` is the new run's id, or why there is none.

    `skipped`: it is not its turn. `refused`: it was, and it cannot be.
    """

    failure_id: int
    result: Literal["retried", "skipped", "refused"]
    detail: str


def sweep(limit: int = 20, attempts: int = 3, cooldown: float = 600.0, *, by: str = "scheduler") -> list[RetryResult]:
    """Retry the newest failures that may be.

    Args:
        limit: At most so many, 1 to 200; five times as many are looked at.
        attempts: So many retries of one failure, 1 to 10.
        cooldown: Seconds between two of them, 60 to 7,200.
        by: Who asks.

    Returns:
        What became of those that were looked at; values out of bounds are brought within them.
    """
    limit, attempts = round(_within(limit, _LIMITS)), round(_within(attempts, _ATTEMPTS))
    cooldown = _within(cooldown, _COOLDOWNS)
    with transaction() as connection:
        found = failure_retries.candidates(connection, limit=_SCANNED_PER_RETRY * limit)
    results: list[RetryResult] = []
    retried = 0
    for failure in found:
        reason = not_due(failure, attempts=attempts, cooldown=cooldown)
        results.append(RetryResult(failure["id"], "skipped", reason) if reason else _automatically(failure, by))
        retried += results[-1].result == "retried"
        if retried == limit:
            break
    return results


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def not_due(failure: RowMapping, *, attempts: int, cooldown: float) -> str | None:
    """Why it is not the failure's turn; None if it is."""
    made = attempts_of(failure)
    if made >= attempts:
        return f"it was retried {made} times"
    since = failure["seconds_since"]
    if since is not None and since < cooldown:
        return f"the last retry was {since:.0f} s ago, and {cooldown:.0f} s are to pass"
    return None


def attempts_of(failure: RowMapping) -> int:
    """How often the failure, and those whose retries it came of, were retried."""
    return int((failure["retry_state"] or {}).get("attempts", 0))


def _automatically(failure: RowMapping, by: str) -> RetryResult:
    try:
        facts = retry(failure, by=by, source="auto")
    except (DuplicateRun, NotActionable) as error:
        return RetryResult(failure["id"], "skipped", str(error))
    except CallboardError as error:
        _note_error(failure, error, "auto")
        return RetryResult(failure["id"], "refused", str(error))
    return RetryResult(failure["id"], "retried", str(facts.id))


def _note_error(failure: RowMapping, error: CallboardError, source: str) -> None:
    with transaction() as connection:
        told = str(error)
        failure_retries.note_error(connection, failure["id"], told, attempts=attempts_of(failure), source=source)


def retry(
    failure: RowMapping,
    *,
    by: str,
    source: Literal["auto", "manual"],
    why: str = "",
    force: bool = False,
    also: Callable[[Connection, RunFacts], None] | None = None,
) -> RunFacts:
    """Make the new run of a failure, by its open dead letter, which is replayed by that.

    Args:
        failure: A row of `failure_retries.standing`.
        by: Who asks.
        source: Whether a person does.
        why: The reason that was given.
        force: Do not ask the job whether it makes sense.
        also: What else is to be written in the same transaction.

    Raises:
        NotFound: No loaded module declares the job.
        NotActionable: The job says so.
        ReplayRefused: The letter was settled meanwhile.
        DuplicateRun: The job is single, and a run is already pending or running.
        ArgumentsError: The message does not fit the job, or the broker, any more.
    """
    broker = get_broker()
    with transaction() as connection:
        letter = dead_letters.get(connection, failure["letter_id"])
    made = _again(letter, broker, failure["id"])
    if not force:
        _ask_job(made.message, spec_of(broker.get_actor(made.message.actor_name)))
    with transaction() as connection:
        if dead_letters.hold(connection, failure["letter_id"])["state"] != "open":
            raise ReplayRefused(f"Dead letter {failure['letter_id']} was settled by somebody else just now.")
        done = write(connection, [made], by=by, why=why)
        if made.letter_id in done.refused:
            raise done.refused[made.letter_id]
        tries = attempts_of(failure) + 1
        failure_retries.note(connection, failure["id"], run_id=made.facts.id, attempts=tries, source=source)
        if also is not None:
            also(connection, made.facts)
        project = failure["project_id"]
        news.tell(connection, "jobs_changed", "job_failures_changed", project_ids=() if project is None else (project,))
    _send(broker, made)
    return made.facts


def _send(broker: Broker, made: Again) -> None:
    try:
        send(broker, [made])
    except ConnectionClosed as error:  # the run is in the ledger, and the reconciler sends what is there
        logger.warning("failure_retry.broker_away", run_id=str(made.facts.id), error=str(error).partition("\n")[0])


def _again(letter: RowMapping, broker: Broker, failure_id: int) -> Again:
    """The letter's message as a retry rather than a replay."""
    made = again(letter, broker)
    made.message.options[KEY]["trigger"] = f"retry:{failure_id}"
    return made._replace(facts=facts_of(made.message, spec_of(broker.get_actor(made.message.actor_name))))


def _ask_job(message: Message[Any], spec: JobSpec) -> None:
    if spec.actionable is None:
        return
    try:
        bound = spec.signature.bind(*message.args, **message.kwargs)
        bound.apply_defaults()
        reason = spec.actionable(**bound.arguments)
    except Exception as error:
        logger.exception("failure_retry.not_asked", job=spec.name, error=str(error).partition("\n")[0])
        reason = f"its own check failed ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
    if reason:
        raise NotActionable(f"Job {spec.name!r} is no longer actionable: {reason}")
