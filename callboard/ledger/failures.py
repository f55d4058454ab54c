"""Queries on `board.failures`, `board.issues` and `board.dead_letters`."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from callboard.ledger.facts import dumps, readable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor
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

_ISSUES = """
insert into board.issues as i (fingerprint, job, error_type, title, kind, last_run_id, occurrences)
select fingerprint, job, error_type, title, kind, run_id, occurrences
from json_to_recordset(%(rows)s::json)
    as g (fingerprint text, job text, error_type text, title text, kind text, run_id uuid, occurrences bigint)
order by fingerprint
on conflict (fingerprint) do update
set occurrences = i.occurrences + excluded.occurrences, last_seen_at = now(), last_run_id = excluded.last_run_id,
    status = case i.status when 'resolved' then 'open' else i.status end
returning fingerprint, id
"""

_ROWS = """json_to_recordset(%(rows)s::json)
    as g (run_id uuid, issue_id bigint, job text, queue text, scope text, attempt smallint, args jsonb, kind text,
          retryable boolean, label text, error_type text, error text, traceback text, correlation_id text,
          reason text, payload text)"""

_FAILURES = f"""
insert into board.failures
  (run_id, issue_id, job, queue, scope, attempt, args, kind, retryable, label, error_type, error, traceback,
   correlation_id)
select run_id, issue_id, job, queue, scope, attempt, args, kind, retryable, label, error_type, error, traceback,
       correlation_id
from {_ROWS}
"""  # noqa: S608 - constants only

_DEAD_LETTERS = f"""
insert into board.dead_letters
  (run_id, issue_id, job, queue, scope, payload, args, kind, reason, error_type, error, attempts, correlation_id)
select run_id, issue_id, job, queue, scope, decode(payload, 'base64'), args, kind, reason, error_type, error, attempt,
       correlation_id
from {_ROWS} where reason is not null
"""  # noqa: S608 - constants only

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
        "error": readable(failure.error),
        "traceback": readable(failure.traceback),
        "fingerprint": failure.fingerprint,
        "title": f"{failure.error_type}: {readable(failure.error)}"[:200],
        "correlation_id": facts.correlation_id,
    }


class Failing(NamedTuple):
    """An attempt that failed; `buried` is the reason for a dead letter, None when another attempt comes."""

    facts: RunFacts
    attempt: int
    failure: Failure
    buried: str | None = None


def record_many(cursor: Cursor, failing: Sequence[Failing]) -> None:
    """Write failed attempts, folded into their issues, and the dead letters of those that were given up on."""
    cursor.execute(_ISSUES, {"rows": dumps(_folded(failing))})
    issues: dict[str, int] = dict(cursor)
    rows = [_row(one) | {"issue_id": issues[one.failure.fingerprint]} for one in failing]
    cursor.execute(_FAILURES, {"rows": dumps(rows)})
    if any(one.buried for one in failing):
        cursor.execute(_DEAD_LETTERS, {"rows": dumps(rows)})


def _row(failing: Failing) -> dict[str, Any]:
    row = _parameters(failing.facts, failing.attempt, failing.failure) | {"args": failing.facts.args}
    if failing.buried is None:
        return row
    return row | {"reason": failing.buried, "payload": b64encode(failing.facts.payload).decode()}


def _folded(failing: Iterable[Failing]) -> list[dict[str, Any]]:
    issues: dict[str, dict[str, Any]] = {}
    for facts, attempt, failure, _ in failing:
        seen = issues.get(failure.fingerprint, {"occurrences": 0})["occurrences"]
        issues[failure.fingerprint] = _parameters(facts, attempt, failure) | {"occurrences": seen + 1}
    return list(issues.values())


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
