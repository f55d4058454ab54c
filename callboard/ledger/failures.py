"""Queries on `board.failures`, and how failed attempts are folded into `board.issues` and buried as dead letters."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlalchemy import text

from callboard.errors import NotFound
from callboard.ledger.facts import dumps, readable
from callboard.ledger.seal import seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor
    from callboard.outcome import Failure

_ISSUES = """
insert into board.issues as i (fingerprint, type, severity, job, scope, project_id, error_type, title, kind,
    last_run_id, occurrences)
select fingerprint, type, severity, job, scope, project_id, error_type, title, kind, run_id, occurrences
from json_to_recordset(%(rows)s::json)
    as g (fingerprint text, type text, severity text, job text, scope text, project_id text, error_type text,
          title text, kind text, run_id uuid, occurrences bigint)
order by fingerprint
on conflict (fingerprint) do update
set occurrences = i.occurrences + excluded.occurrences, last_seen_at = now(), last_run_id = excluded.last_run_id,
    reopened = i.reopened + case i.status when 'resolved' then 1 else 0 end,
    status_at = case i.status when 'resolved' then now() else i.status_at end,
    status_by = case i.status when 'resolved' then 'recurrence' else i.status_by end,
    status = case i.status when 'resolved' then 'open' else i.status end
returning fingerprint, id
"""

_ROWS = """json_to_recordset(%(rows)s::json)
    as g (run_id uuid, issue_id bigint, job text, queue text, scope text, project_id text, attempt smallint, args jsonb,
          kind text, retryable boolean, label text, error_type text, error text, traceback text, correlation_id text,
          trace_id text, log json, duration_seconds float8, reason text, payload text)"""

_FAILURES = f"""
insert into board.failures
  (run_id, issue_id, job, queue, scope, project_id, attempt, args, kind, retryable, label, error_type, error, traceback,
   correlation_id, trace_id, log, duration_seconds)
select run_id, issue_id, job, queue, scope, project_id, attempt, args, kind, retryable, label, error_type, error,
       traceback, correlation_id, trace_id, log, duration_seconds
from {_ROWS}
"""  # noqa: S608 - constants only

_DEAD_LETTERS = f"""
insert into board.dead_letters
  (run_id, issue_id, job, queue, scope, project_id, payload, args, kind, reason, error_type, error, attempts,
   correlation_id)
select run_id, issue_id, job, queue, scope, project_id, decode(payload, 'base64'), args, kind, reason, error_type,
       error, attempt, correlation_id
from {_ROWS} where reason is not null
"""  # noqa: S608 - constants only

_ONE = text("select * from board.failures where id = :id")
_OF_RUN = text("select * from board.failures where run_id = :run_id order by id")


class Failing(NamedTuple):
    """An attempt that failed.

    Attributes:
        facts: Its run.
        attempt: Which one, from 1.
        failure: What was raised.
        buried: The reason for a dead letter; None when another attempt comes.
        trace_id: Of its trace, if that is kept.
        log: The last lines that it logged.
        seconds: Its run time, where it is known.
    """

    facts: RunFacts
    attempt: int
    failure: Failure
    buried: str | None = None
    trace_id: str | None = None
    log: list[dict[str, Any]] | None = None
    seconds: float | None = None


def record_many(cursor: Cursor, failing: Sequence[Failing]) -> None:
    """Write failed attempts, folded into their issues, and the dead letters of those that were given up on.

    A resolved issue opens again; one that is silenced counts all the same.
    """
    cursor.execute(_ISSUES, {"rows": dumps(_folded(failing))})
    issues: dict[str, int] = dict(cursor)
    rows = [_row(one, issues[one.failure.fingerprint]) for one in failing]
    cursor.execute(_FAILURES, {"rows": dumps(rows)})
    if any(one.buried for one in failing):
        cursor.execute(_DEAD_LETTERS, {"rows": dumps(rows)})


def record(connection: Connection, failing: Failing) -> None:
    """`record_many` for one attempt, in the transaction of a SQLAlchemy connection."""
    with cast("Cursor", connection.connection.cursor()) as cursor:
        record_many(cursor, [failing])


def _row(failing: Failing, issue_id: int) -> dict[str, Any]:
    facts, failure = failing.facts, failing.failure
    row = {
        "run_id": facts.id,
        "issue_id": issue_id,
        "job": facts.job,
        "queue": facts.queue,
        "scope": facts.scope,
        "project_id": facts.project_id,
        "attempt": failing.attempt,
        "args": facts.args,
        "kind": failure.kind,
        "retryable": failure.retryable,
        "label": failure.label,
        "error_type": failure.error_type,
        "error": readable(failure.error),
        "traceback": readable(failure.traceback),
        "correlation_id": facts.correlation_id,
        "trace_id": failing.trace_id,
        "log": failing.log,
        "duration_seconds": failing.seconds,
    }
    if failing.buried is None:
        return row
    return row | {"reason": failing.buried, "payload": b64encode(seal(facts.payload)).decode()}


def _folded(failing: Iterable[Failing]) -> list[dict[str, Any]]:
    issues: dict[str, dict[str, Any]] = {}
    for one in failing:
        name = one.failure.fingerprint
        seen = issues.get(name, {"occurrences": 0})["occurrences"]
        issues[name] = _issue(one) | {"occurrences": seen + 1}
    return list(issues.values())


def _issue(failing: Failing) -> dict[str, Any]:
    facts, failure = failing.facts, failing.failure
    kind = failure.issue_type
    return {
        "fingerprint": failure.fingerprint,
        "type": kind,
        "severity": kind.severity,
        "job": facts.job,
        "scope": facts.scope,
        "project_id": facts.project_id,
        "error_type": failure.error_type,
        "title": f"{failure.error_type}: {readable(failure.error)}"[:200],
        "kind": failure.kind,
        "run_id": facts.id,
    }


def get(connection: Connection, failure_id: int) -> RowMapping:
    """One failed attempt.

    Raises:
        NotFound: There is none of that id.
    """
    row = connection.execute(_ONE, {"id": failure_id}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No failure has the id {failure_id}; `callboard failures` lists them.")
    return row


def of_run(connection: Connection, run_id: UUID) -> Sequence[RowMapping]:
    """The failed attempts of a run, oldest first."""
    return connection.execute(_OF_RUN, {"run_id": run_id}).mappings().all()
