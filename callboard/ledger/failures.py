"""Queries on `board.failures`, `board.issues` and `board.dead_letters`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.ledger.facts import dumps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.outcome import Failure

_ISSUE = text("""
insert into board.issues as i (fingerprint, job, error_type, title, kind, last_run_id)
values (:fingerprint, :job, :error_type, :title, :kind, :run_id)
on conflict (fingerprint) do update
set occurrences = i.occurrences + 1, last_seen_at = now(), last_run_id = excluded.last_run_id,
    status = case i.status when 'resolved' then 'open' else i.status end
returning id
""")

_FAILURE = text("""
insert into board.failures
  (run_id, issue_id, job, queue, scope, attempt, args, kind, retryable, label, error_type, error, traceback,
   correlation_id)
values (:run_id, :issue_id, :job, :queue, :scope, :attempt, cast(:args as jsonb), :kind, :retryable, :label,
        :error_type, :error, :traceback, :correlation_id)
""")

_DEAD_LETTER = text("""
insert into board.dead_letters
  (run_id, issue_id, job, queue, scope, payload, args, kind, reason, error_type, error, attempts, correlation_id)
values (:run_id, :issue_id, :job, :queue, :scope, :payload, cast(:args as jsonb), :kind, :reason, :error_type, :error,
        :attempt, :correlation_id)
returning id
""")

_OF_RUN = text("select * from board.failures where run_id = :run_id order by id")


def _parameters(facts: RunFacts, attempt: int, failure: Failure) -> dict[str, Any]:
    return {
        "run_id": facts.id,
        "job": facts.job,
        "queue": facts.queue,
        "scope": facts.scope,
        "attempt": attempt,
        "args": dumps(facts.args),
        "kind": failure.kind,
        "retryable": failure.retryable,
        "label": failure.label,
        "error_type": failure.error_type,
        "error": failure.error.replace("\x00", ""),
        "traceback": failure.traceback.replace("\x00", ""),
        "fingerprint": failure.fingerprint,
        "title": f"{failure.error_type}: {failure.error.replace(chr(0), '')}"[:200],
        "correlation_id": facts.correlation_id,
    }


def record(connection: Connection, facts: RunFacts, attempt: int, failure: Failure) -> int:
    """Write a failed attempt and fold it into its issue; a resolved issue opens again. Returns the issue's id."""
    given = _parameters(facts, attempt, failure)
    issue_id = connection.execute(_ISSUE, given).scalar_one()
    connection.execute(_FAILURE, given | {"issue_id": issue_id})
    return int(issue_id)


def bury(connection: Connection, facts: RunFacts, attempt: int, failure: Failure, *, reason: str, issue_id: int) -> int:
    """Keep the whole message of a run that was given up on. Returns the dead letter's id."""
    given = _parameters(facts, attempt, failure) | {"reason": reason, "issue_id": issue_id, "payload": facts.payload}
    return int(connection.execute(_DEAD_LETTER, given).scalar_one())


def of_run(connection: Connection, run_id: UUID) -> Sequence[RowMapping]:
    """The failed attempts of a run, oldest first."""
    return connection.execute(_OF_RUN, {"run_id": run_id}).mappings().all()
