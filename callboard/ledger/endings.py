"""Statements that write many attempts at once: one JSON parameter each, which the server turns into rows.

Against typed arrays (`unnest`) that takes a third of the client's time, which is what a worker is short of, and sparse
columns cost nothing; `COPY` is cheaper for the server, but it has no `on conflict` and needs an encoder of our own.
Measured in `docs/decisions`.

Rows are locked in the order of their ids, so that no two transactions wait for each other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

from callboard.ledger import totals
from callboard.ledger.facts import dumps
from callboard.ledger.rows import INTO, TOLD, VALUES, event, told
from callboard.outcome import Cancelled, Completed, Failed, Interrupted, PutOff, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from callboard.ledger.facts import Ending, RunFacts, Started
    from callboard.ledger.wire import Cursor

    Attempt: TypeAlias = tuple[UUID, int]

# `since` and `ago`: seconds from the attempt's start, and from its end, to now.
_INSERT = f"""
insert into board.runs ({INTO}, state, delivery, attempt, token, worker_id, started_at, finished_at, counts, notes,
    progress, reason, trace_id, log)
select {VALUES}, state, delivery, 1, token, %(worker_id)s, now() - make_interval(secs => since),
       now() - make_interval(secs => ago), counts, notes, progress, reason, trace_id, log
from json_to_recordset(%(rows)s::json) as g (
    {TOLD}, state text, delivery text, token bigint, since float8, ago float8, counts json, notes json,
    progress jsonb, reason text, trace_id text, log json)
"""  # noqa: S608 - constants only

_FINAL = (Completed, Cancelled)
_GIVEN_BACK = (Interrupted, PutOff)
_LIGHT = f"with ended as ({_INSERT}) {totals.ADD_MANY}"
_BEGUN = f"{_INSERT} order by id on conflict (id, created_at) do nothing returning id"

_END = """
with g as materialized (
    select * from json_to_recordset(%(rows)s::json) as g (
        id uuid, created_at timestamptz, token bigint, state text, reason text, ago float8, delay float8,
        delivery text, counts json, notes json, progress jsonb, error_kind text, error_type text, error text,
        given_back boolean, event jsonb, trace_id text, log json)
), held as materialized (
    select r.id, r.created_at from board.runs r join g using (id, created_at)
    where r.state = 'running' and r.token = g.token order by r.id, r.created_at for update of r
)
update board.runs r
set state = g.state, reason = g.reason, retry_at = now() + make_interval(secs => g.delay),
    finished_at = case when g.state <> 'pending' then now() - make_interval(secs => g.ago) end,
    payload = case when g.state = 'pending' then r.payload end,
    attempt = case when g.given_back then r.attempt - 1 else r.attempt end,
    eligible_at = case when g.state = 'pending' then now() + make_interval(secs => coalesce(g.delay, 0))
                  else r.eligible_at end,
    delivery = coalesce(g.delivery, r.delivery), progress = g.progress,
    counts = case when g.given_back then r.counts else g.counts end,
    notes = case when g.given_back then r.notes else g.notes end,
    error_kind = case when g.given_back then r.error_kind else g.error_kind end,
    error_type = case when g.given_back then r.error_type else g.error_type end,
    error = case when g.given_back then r.error else g.error end,
    trace_id = case when g.given_back then r.trace_id else g.trace_id end,
    log = case when g.given_back then r.log else g.log end,
    history = case when g.event is null then r.history
                   when g.event ->> 'event' = 'postponed' and r.history -> -1 ->> 'event' = 'postponed'
                       then (r.history - (-1)) || g.event  -- one entry, however often: it says how often
                   else coalesce(r.history, '[]') || g.event end
from g, held
where held.id = r.id and held.created_at = r.created_at and g.id = r.id and g.created_at = r.created_at
  and r.state = 'running' and r.token = g.token
returning r.id, r.token
"""

_OURS = """
select r.id, r.token from board.runs r
join json_to_recordset(%(rows)s::json) as g (id uuid, created_at timestamptz, token bigint)
  using (id, created_at, token)
"""

_DOUBLED = """
update board.runs r set history = coalesce(r.history, '[]') || g.event
from json_to_recordset(%(rows)s::json) as g (id uuid, created_at timestamptz, event jsonb, mark jsonb)
where r.id = g.id and r.created_at = g.created_at and not coalesce(r.history, '[]') @> g.mark
"""


def attempt_of(ending: Ending) -> Attempt:
    """What tells it from every other one."""
    return ending.facts.id, ending.started.token


def is_light(ending: Ending) -> bool:
    """True if one row, which is not there yet, tells all of the run."""
    if ending.started.recorded or type(ending.outcome) not in _FINAL or ending.report.tokens:
        return False
    return not (ending.facts.single or ending.facts.recurring or ending.facts.notify)


def _light_row(ending: Ending, now: float) -> dict[str, Any]:
    row, report, outcome = told(ending.facts), ending.report, ending.outcome
    ago = now - ending.ended
    row["token"], row["ago"], row["since"], row["state"] = ending.started.token, ago, ago + ending.seconds, "completed"
    if report.counts:
        row["counts"] = report.counts
    if report.notes:
        row["notes"] = report.notes
    if report.progress is not None:
        row["progress"] = report.progress
    if report.log:
        row["log"] = report.log
    if ending.trace is not None:
        row["trace_id"] = ending.trace[0]
    if isinstance(outcome, Cancelled):
        row["state"], row["reason"] = "cancelled", outcome.reason
    return row


def insert_light(cursor: Cursor, endings: Sequence[Ending], *, worker_id: UUID, shard: int) -> None:
    """Write light runs and their totals by one statement.

    Raises:
        psycopg.errors.UniqueViolation: One has a row; nothing was written.
    """
    now = time.monotonic()
    rows = dumps([_light_row(ending, now) for ending in endings])
    given = {"rows": rows, "worker_id": worker_id, "totals": totals.fold(endings), "shard": shard}
    cursor.execute(_LIGHT, given)


def begin(cursor: Cursor, begun: Iterable[tuple[RunFacts, Started, float]], *, worker_id: UUID) -> set[UUID]:
    """Write rows of attempts that started, the given seconds ago, without one; those that have a row keep it.

    Returns:
        The ids of those that were written.
    """
    rows = [
        told(facts) | {"state": "running", "delivery": facts.delivery, "token": started.token, "since": since}
        for facts, started, since in begun
    ]
    cursor.execute(_BEGUN, {"rows": dumps(rows), "worker_id": worker_id})
    return {row[0] for row in cursor}


def end(cursor: Cursor, endings: Iterable[Ending], now: float) -> set[Attempt]:
    """Compare and set: end the attempts whose run is running under their token. Returns which those are.

    `now` is `time.monotonic()` at the moment that the ledger's clock shows in this transaction.
    """
    cursor.execute(_END, {"rows": dumps([_end_row(ending, now) for ending in endings])})
    return {(row[0], row[1]) for row in cursor}


def _end_row(ending: Ending, now: float) -> dict[str, Any]:
    report = ending.report
    row: dict[str, Any] = _attempt(ending) | {"ago": now - ending.ended, "progress": report.progress}
    if not isinstance(ending.outcome, _GIVEN_BACK):
        row |= {"counts": report.counts or None, "notes": report.notes or None, "log": report.log}
        row["trace_id"] = None if ending.trace is None else ending.trace[0]
    return row | _change(ending)


def _attempt(ending: Ending) -> dict[str, Any]:
    return {"id": ending.facts.id, "created_at": ending.facts.created_at, "token": ending.started.token}


def _change(ending: Ending) -> dict[str, Any]:
    match ending.outcome:
        case Completed():
            return {"state": "completed"}
        case Cancelled(reason):
            return {"state": "cancelled", "reason": reason}
        case Interrupted():
            told = event("interrupted", "the worker stopped")
            return {"state": "pending", "reason": "interrupted", "given_back": True, "event": told}
        case PutOff(delay, why, times):
            told = event("postponed", f"for {delay:g} s: {why}" + (f" ({times} times)" if times > 1 else ""))
            change = {"state": "pending", "reason": f"postponed: {why}", "delay": delay, "event": told}
            return change | {"given_back": True}
        case Retry(failure, delay):
            change = {"state": "pending", "reason": "retry", "delay": delay, "delivery": ending.delivery}
        case Failed(failure, reason):
            change = {"state": "failed", "reason": reason}
    return change | {"error_kind": failure.kind, "error_type": failure.error_type, "error": failure.error}


def ours(cursor: Cursor, endings: Iterable[Ending]) -> set[Attempt]:
    """Those attempts whose run still has their token: an earlier commit, whose answer was lost, ended them."""
    cursor.execute(_OURS, {"rows": dumps([_attempt(ending) for ending in endings])})
    return {(row[0], row[1]) for row in cursor}


def declare_doubled(cursor: Cursor, endings: Iterable[Ending]) -> None:
    """Write into the runs' history that an attempt without a row ran to its end as well; once for each."""
    cursor.execute(_DOUBLED, {"rows": dumps([_attempt(ending) | _doubled(ending) for ending in endings])})


def _doubled(ending: Ending) -> dict[str, Any]:
    ended = type(ending.outcome).__name__.lower()
    detail = f"it ran twice: a worker that had lost it came to an end too ({ended}, token {ending.started.token})"
    return {"event": event("doubled", detail), "mark": [{"event": "doubled", "detail": detail}]}
