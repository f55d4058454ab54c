"""Retry failures by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.errors import CallboardError
from callboard.failure_retry import RetryResult
from callboard.failure_retry import retry as retry_one
from callboard.ledger import failure_retries
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.operations._audit import Who

__all__ = ["RetryResult", "retry"]

_OPEN = ("pending", "running")


def retry(failure_ids: Iterable[int], *, who: Who, why: str = "", force: bool = False) -> list[RetryResult]:
    """Run failed runs again, each as a new run with the same arguments; one that is refused does not stop the rest.

    Args:
        failure_ids: Which ones, by the failure of the run's last attempt.
        who: Who asks.
        why: The reason that was given.
        force: Also where the failure's kind, or the job, says that it makes no sense. Nothing runs twice by that.

    Returns:
        One result a failure, in the order given: `retried`, or `refused` with the reason in words.
    """
    wanted = list(dict.fromkeys(failure_ids))
    with transaction() as connection:
        found = failure_retries.standing(connection, wanted)
    return [_one(failure_id, found.get(failure_id), who, why, force=force) for failure_id in wanted]


def _one(failure_id: int, failure: RowMapping | None, who: Who, why: str, *, force: bool) -> RetryResult:
    if failure is None:
        return RetryResult(
            failure_id, "refused", f"No failure has the id {failure_id}; `callboard failures` lists them."
        )
    reason = over(failure) or (None if force else hopeless(failure))
    if reason is not None:
        return RetryResult(failure_id, "refused", reason)

    def note(connection: Connection, facts: RunFacts) -> None:
        detail = {"run_id": str(facts.id), "letter_id": failure["letter_id"], "force": force}
        audit(connection, who, "failure.retry", ("failure", failure_id), why=why, detail=detail)

    try:
        facts = retry_one(failure, by=who.name, source="manual", why=why, force=force, also=note)
    except CallboardError as error:
        return RetryResult(failure_id, "refused", str(error))
    return RetryResult(failure_id, "retried", str(facts.id))


def hopeless(failure: RowMapping) -> str | None:
    """Why the same would happen again; None if that is not said."""
    if failure["kind"] == "authentication":
        return f"Failure {failure['id']} is about a credential: renew it first, then force the retry."
    if not failure["retryable"]:
        told = f"{failure['kind']}, {failure['label']}"
        return f"Failure {failure['id']} is not retryable ({told}): mend its cause first, then force the retry."
    return None


def over(failure: RowMapping) -> str | None:
    """Why there is nothing to be retried, or nothing any more; None if there is."""
    if failure["run_state"] in _OPEN:
        return f"Run {failure['run_id']} is already {failure['run_state']}; wait for it, or cancel it first."
    if not failure["is_last"] or failure["run_state"] in ("completed", "cancelled"):
        return (
            f"Failure {failure['id']} is attempt {failure['attempt']} of run {failure['run_id']}, which went on "
            f"and is {failure['run_state'] or 'gone'}; retry the failure of its last attempt, if it failed."
        )
    return None if failure["letter_state"] == "open" else _settled(failure)


def _settled(failure: RowMapping) -> str:
    letter, again = failure["letter_id"], failure["replay_run_id"]
    if letter is None:
        return (
            f"Failure {failure['id']} left no dead letter, so its message is gone; trigger job {failure['job']!r} anew."
        )
    if failure["replay_state"] in _OPEN:
        return f"Failure {failure['id']} is already running again, as run {again} ({failure['replay_state']})."
    if again is not None:
        state = failure["replay_state"] or "gone"
        return (
            f"Failure {failure['id']} was run again as run {again} ({state}), by {failure['settled_by']}; "
            "a letter is replayed at most once, so retry the failure of that run."
        )
    return f"Failure {failure['id']} was given up: its dead letter {letter} was discarded by {failure['settled_by']}."
