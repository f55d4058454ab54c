"""Queries on `board.runs`: every change of state is a compare-and-set, by the token's holder where a run runs."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from callboard.ledger.facts import RunFacts, dumps, readable
from callboard.ledger.rows import INTO, TOLD, VALUES, told
from callboard.ledger.seal import seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import Report
    from callboard.outcome import Failure

    #: A run: the id and `created_at`, which says in which partition it is.
    Key = tuple[UUID, datetime]

_COLUMNS = """id, created_at, job, queue, state, trigger, scope, correlation_id, parent_id, args, payload, delivery,
scheduled_for, missed, eligible_at, notify, project_id"""
_VALUES = """:id, :created_at, :job, :queue, :state, :trigger, :scope, :correlation_id, :parent_id,
cast(:args as jsonb), :payload, :delivery, :scheduled_for, :missed, :eligible_at, :notify, :project_id"""

_INSERT_PENDING = text(f"""
insert into board.runs ({_COLUMNS}) values ({_VALUES}) on conflict (id, created_at) do nothing
""")  # noqa: S608 - constants only

# As in `endings`: one JSON parameter, which takes a third of the time of as many statements.
_INSERT_MANY_PENDING = text(f"""
insert into board.runs ({INTO}, state, payload, delivery)
select {VALUES}, 'pending', decode(payload, 'base64'), delivery
from json_to_recordset(cast(:rows as json)) as g ({TOLD}, payload text, delivery text)
order by id on conflict (id, created_at) do nothing
""")  # noqa: S608 - constants only

_LOOK = text("""
select r.state, r.crashes, r.retry_at, r.cancel_requested_at, r.attempt, r.token,
       extract(epoch from r.retry_at - now()) as early,
       (w.state in ('alive', 'draining') and w.lease_until > now()) as held
from board.runs r left join board.workers w on w.id = r.worker_id
where r.id = :id and r.created_at = :created_at for update of r
""")

_HAS_ENDED = text("""
select 1 from board.runs
where id = cast(:id as uuid) and created_at = cast(:created_at as timestamptz)
  and (token = :token and state <> 'running'
       or exists (select from board.failures where run_id = cast(:id as uuid) and attempt = :attempt))
""")

_LOSE = text("""
update board.runs
set state = 'pending', token = null, crashes = crashes + 1, reason = 'lost', attempt = greatest(attempt, 1),
    history = coalesce(history, '[]'::jsonb) || cast(:event as jsonb)
where id = :id and created_at = :created_at and state = 'running' and token = :token
""")

_FINISH = text("""
update board.runs
set state = :state, finished_at = now(), token = null, payload = null, retry_at = null, reason = :reason,
    counts = cast(:counts as json), notes = cast(:notes as json), progress = cast(:progress as jsonb),
    error_kind = :error_kind, error_type = :error_type, error = :error
where id = :id and created_at = :created_at and state = 'running' and token = :token
returning extract(epoch from now() - started_at) as seconds
""")

_END_PENDING = text("""
update board.runs
set state = :state, finished_at = now(), payload = null, retry_at = null, reason = :reason,
    error_kind = coalesce(:error_kind, error_kind), error_type = coalesce(:error_type, error_type),
    error = coalesce(:error, error)
where id = :id and created_at = :created_at and state = 'pending'
""")

_REQUEST_CANCEL = text("""
update board.runs
set cancel_requested_at = coalesce(cancel_requested_at, now()),
    cancel_requested_by = coalesce(cancel_requested_by, :by),
    state = case state when 'pending' then 'cancelled' else state end,
    finished_at = case state when 'pending' then now() end,
    payload = case state when 'pending' then null else payload end,
    reason = case state when 'pending' then 'cancelled before it started' else reason end
where id = :id and state in ('pending', 'running')
returning id, created_at, job, queue, scope, state, trigger, correlation_id, args, notify, project_id,
    (select s.interval_seconds from board.schedules s where s.job = runs.job) as interval_seconds
""")

_CANCELLED_AMONG = text("select id from board.runs where id = any(:ids) and cancel_requested_at is not null")

# A row that another transaction holds is about to change: it is left to the next round rather than waited for, since
# that transaction may in turn wait for a claim that the heart has just renewed.
_SAVE_PROGRESS = text("""
with g as materialized (
    select * from json_to_recordset(cast(:rows as json))
        as g (id uuid, created_at timestamptz, token bigint, progress jsonb, counts json)
), held as materialized (
    select r.id, r.created_at from board.runs r join g using (id, created_at, token)
    where r.state = 'running' for update of r skip locked
)
update board.runs r set progress = g.progress, counts = g.counts
from g join held using (id, created_at) where r.id = g.id and r.created_at = g.created_at
""")

_MARK_ENQUEUED = text("""
update board.runs set enqueued_at = now() where id = :id and created_at = :created_at and enqueued_at is null
""")

_MARK_ALL_ENQUEUED = text("""
with taken as materialized (
    select r.id, r.created_at
    from board.runs r join unnest(cast(:ids as uuid[]), cast(:moments as timestamptz[])) as g (id, created_at)
      using (id, created_at)
    where r.enqueued_at is null order by r.id, r.created_at for update of r
)
update board.runs r set enqueued_at = now() from taken where r.id = taken.id and r.created_at = taken.created_at
""")

_UNSENT = text("""
select r.id
from board.runs r join unnest(cast(:ids as uuid[]), cast(:moments as timestamptz[])) as g (id, created_at)
  using (id, created_at)
where r.state = 'pending' and r.enqueued_at is null
""")

# `sure`: seconds after which a message is missed although the broker took it.
_MESSAGELESS = text("""
select id, created_at, job, queue, payload, delivery
from board.runs
where state = 'pending' and payload is not null
  and greatest(created_at, enqueued_at, retry_at, eligible_at)
      < now() - make_interval(secs => case when enqueued_at is null then :age else :sure end)
  and (cast(:after_moment as timestamptz) is null
       or (created_at, id) > (cast(:after_moment as timestamptz), cast(:after_id as uuid)))
order by created_at, id limit :limit
""")

_AS_THEY_WERE = text("""
select r.id from board.runs r
join unnest(cast(:ids as uuid[]), cast(:moments as timestamptz[]), cast(:deliveries as text[]))
  as g (id, created_at, delivery) using (id, created_at, delivery)
where r.state = 'pending'
""")

_RESENT = text("""
with taken as materialized (
    select r.id, r.created_at
    from board.runs r join unnest(cast(:ids as uuid[]), cast(:moments as timestamptz[])) as g (id, created_at)
      using (id, created_at)
    order by r.id, r.created_at for update of r
)
update board.runs r
set history = coalesce(r.history, '[]'::jsonb) || cast(:event as jsonb), enqueued_at = now()
from taken where r.id = taken.id and r.created_at = taken.created_at
""")

_LOST_RUNS = text("""
select r.id, r.created_at, r.job, r.queue, r.scope, r.token, r.attempt, r.payload, r.args, r.correlation_id, r.trigger,
       r.project_id, r.notify, s.interval_seconds, w.broker_id = '' as inline
from board.runs r left join board.workers w on w.id = r.worker_id left join board.schedules s on s.job = r.job
where r.state = 'running'
  and (w.state in ('dead', 'stopped') or
       (w.id is null and r.started_at < now() - interval '15 s'))
order by r.started_at limit :limit
""")


class Position(NamedTuple):
    """Where a run stands, for a start that was refused."""

    state: str
    crashes: int
    early: float
    held: bool
    token: int | None
    cancelled: bool


def _parameters(facts: RunFacts, state: str) -> dict[str, Any]:
    return {
        "id": facts.id,
        "created_at": facts.created_at,
        "job": facts.job,
        "queue": facts.queue,
        "state": state,
        "trigger": facts.trigger,
        "scope": facts.scope,
        "correlation_id": facts.correlation_id,
        "parent_id": facts.parent_id,
        "args": dumps(facts.args),
        "payload": seal(facts.payload) if facts.durable else None,
        "delivery": facts.delivery or None,
        "scheduled_for": facts.scheduled_for,
        "missed": facts.missed,
        "eligible_at": facts.eligible_at or facts.created_at,
        "notify": list(facts.notify) or None,
        "project_id": facts.project_id,
    }


def event(name: str, at: datetime, detail: str = "") -> str:
    """One entry of a run's history, as JSON."""
    return dumps({"at": at.isoformat(), "event": name, "detail": detail}) or ""


def insert_pending(connection: Connection, facts: RunFacts) -> bool:
    """Write the row of a run that is about to be enqueued; False if it is there already."""
    return connection.execute(_INSERT_PENDING, _parameters(facts, "pending")).rowcount == 1


def look(connection: Connection, facts: RunFacts) -> Position | None:
    """Lock the run's row and say where it stands; None when there is none."""
    row = connection.execute(_LOOK, {"id": facts.id, "created_at": facts.created_at}).one_or_none()
    if row is None:
        return None
    return Position(
        row.state, row.crashes, float(row.early or 0), bool(row.held), row.token, row.cancel_requested_at is not None
    )


def lose(connection: Connection, run_id: UUID, created_at: datetime, token: int, *, note: str) -> bool:
    """Take a run from an attempt whose worker is gone: pending again, one crash more; False if it had lost it."""
    given = {"id": run_id, "created_at": created_at, "token": token, "event": note}
    return connection.execute(_LOSE, given).rowcount == 1


def _report(report: Report) -> dict[str, str | None]:
    return {
        "counts": dumps(report.counts or None),
        "notes": dumps(report.notes or None),
        "progress": dumps(report.progress),
    }


def _error(failure: Failure | None) -> dict[str, str | None]:
    if failure is None:
        return {"error_kind": None, "error_type": None, "error": None}
    return {"error_kind": failure.kind, "error_type": failure.error_type, "error": readable(failure.error)}


def _attempt(facts: RunFacts, token: int) -> dict[str, Any]:
    return {"id": facts.id, "created_at": facts.created_at, "token": token}


def finish(
    connection: Connection,
    facts: RunFacts,
    token: int,
    *,
    state: str,
    report: Report,
    failure: Failure | None = None,
    reason: str | None = None,
) -> float | None:
    """End a dead worker's run for good; `token` is void from then on.

    Returns:
        Its run time in seconds, or None when `token` is not the current one any more.
    """
    given = _attempt(facts, token) | _report(report) | _error(failure) | {"state": state, "reason": reason}
    return connection.execute(_FINISH, given).scalar_one_or_none()


def end_pending(
    connection: Connection,
    run_id: UUID,
    created_at: datetime,
    *,
    state: str,
    reason: str,
    failure: Failure | None = None,
) -> bool:
    """End a run that is waiting; False if it was not waiting any more."""
    given = {"id": run_id, "created_at": created_at, "state": state, "reason": reason} | _error(failure)
    return connection.execute(_END_PENDING, given).rowcount == 1


def request_cancel(connection: Connection, run_id: UUID, *, by: str) -> RowMapping | None:
    """Cancel a pending run, or ask a running one to stop; None if there is no such open run."""
    return connection.execute(_REQUEST_CANCEL, {"id": run_id, "by": by}).mappings().one_or_none()


def cancelled_among(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Those of `ids` that somebody asked to cancel."""
    return set(connection.execute(_CANCELLED_AMONG, {"ids": list(ids)}).scalars())


def has_ended(connection: Connection, run_id: str, created_at: str, token: int, attempt: int) -> bool:
    """Whether the attempt has ended, and the ledger knows: by its token, or, if it is tried again, by its failure."""
    given = {"id": run_id, "created_at": created_at, "token": token, "attempt": attempt}
    return connection.execute(_HAS_ENDED, given).one_or_none() is not None


def save_progress(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write progress and counts of running attempts: rows of id, created_at, token, progress, counts."""
    if rows:
        connection.execute(_SAVE_PROGRESS, {"rows": dumps(rows)})


def mark_enqueued(connection: Connection, run_id: UUID, created_at: datetime) -> None:
    """Remember that the broker took the run's message."""
    connection.execute(_MARK_ENQUEUED, {"id": run_id, "created_at": created_at})


def insert_many_pending(connection: Connection, many: Sequence[RunFacts]) -> None:
    """Write the rows of runs that are about to be enqueued; those that are there already stay as they are."""
    if many:
        connection.execute(_INSERT_MANY_PENDING, {"rows": dumps([_pending_row(facts) for facts in many])})


def _pending_row(facts: RunFacts) -> dict[str, Any]:
    row = told(facts) | {"delivery": facts.delivery or None}
    return row | {"payload": b64encode(seal(facts.payload)).decode()} if facts.durable else row


def unsent(connection: Connection, keys: Iterable[Key]) -> set[UUID]:
    """Those of the runs that are committed, pending, and not known to be with the broker."""
    return set(connection.execute(_UNSENT, _keys(keys)).scalars())


def mark_all_enqueued(connection: Connection, keys: Iterable[Key]) -> None:
    """Remember that the broker took the runs' messages."""
    connection.execute(_MARK_ALL_ENQUEUED, _keys(keys))


def maybe_messageless(
    connection: Connection, *, age: float, sure: float | None = None, after: Key | None = None, limit: int = 1000
) -> Sequence[RowMapping]:
    """Durable runs that have been due for `age` seconds and not started; their messages may be lost.

    Args:
        connection: A transaction on the ledger.
        age: Seconds.
        sure: The same for runs whose message the broker is known to have taken; None: `age`.
        after: The last run of the page before.
        limit: Runs on a page, oldest first.
    """
    run_id, moment = after or (None, None)
    given = {"age": age, "sure": sure or age, "after_id": run_id, "after_moment": moment, "limit": limit}
    return connection.execute(_MESSAGELESS, given).mappings().all()


def as_they_were(connection: Connection, suspects: Sequence[RowMapping]) -> Sequence[RowMapping]:
    """Those of `maybe_messageless` that nobody has started since they were listed."""
    given = _keys((row["id"], row["created_at"]) for row in suspects)
    found = connection.execute(_AS_THEY_WERE, given | {"deliveries": [row["delivery"] for row in suspects]})
    left = set(found.scalars())
    return [row for row in suspects if row["id"] in left]


def resent(connection: Connection, keys: Iterable[Key], *, note: str) -> None:
    """Write into the histories of runs, wherever they stand by now, that their messages were sent again."""
    connection.execute(_RESENT, _keys(keys) | {"event": note})


def _keys(keys: Iterable[Key]) -> dict[str, Any]:
    ids, moments = zip(*keys, strict=True)
    return {"ids": list(ids), "moments": list(moments)}


def lost(connection: Connection, *, limit: int = 1000) -> Sequence[RowMapping]:
    """Runs that are running on a worker that was declared dead, or has stopped."""
    return connection.execute(_LOST_RUNS, {"limit": limit}).mappings().all()
