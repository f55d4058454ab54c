"""Queries on `board.failures` for those who retry: where a failure stands, and what was done about it so far.

A failure is retried through the dead letter of its run, so that it can never run twice: a letter is settled once. The
new run's trigger is `retry:<failure>`; if it fails too, that failure carries on what its predecessor counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.ledger.facts import dumps, readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

_LONGEST_ERROR = 500

# `before`: what was done about this failure, or about the one whose retry it came of.
_STANDING = """
select f.id, f.run_id, f.job, f.kind, f.retryable, f.label, f.error_type, f.error, f.attempt, f.project_id,
       f.occurred_at, r.state as run_state, d.id as letter_id, d.state as letter_state, d.settled_by, d.replay_run_id,
       again.state as replay_state, coalesce(f.retry_state, before.retry_state) as retry_state,
       extract(epoch from now() - cast(coalesce(f.retry_state, before.retry_state) ->> 'last_retry_at'
                                       as timestamptz))::float8 as seconds_since,
       not exists (select from board.failures later where later.run_id = f.run_id and later.id > f.id) as is_last
from chosen f
left join board.runs r on r.id = f.run_id
left join lateral (
    select * from board.dead_letters d where d.run_id = f.run_id order by d.id desc limit 1
) d on true
left join board.runs again on again.id = d.replay_run_id
left join board.failures before
    on before.id = case when r.trigger ~ '^retry:[0-9]{1,18}$' then substr(r.trigger, 7)::bigint end
order by f.id desc
"""
_GIVEN = text(f"""
with chosen as materialized (select * from board.failures where id = any(:ids)) {_STANDING}
""")  # noqa: S608 - constants only
_CANDIDATES = text(f"""
with chosen as materialized (
    select f.* from board.failures f
    where f.retryable and f.kind <> 'authentication' and f.occurred_at > now() - interval '72 hours'
      and exists (select from board.dead_letters d where d.run_id = f.run_id and d.state = 'open')
      and not exists (select from board.failures later where later.run_id = f.run_id and later.id > f.id)
    order by f.id desc limit :limit
) {_STANDING}
""")  # noqa: S608 - constants only

_NOTE = text("""
update board.failures
set retry_state = jsonb_build_object('attempts', cast(:attempts as int), 'last_retry_at', now(),
    'last_retry_run_id', cast(:run_id as text), 'source', cast(:source as text), 'error', null)
where id = :id
""")
_NOTE_ERROR = text("""
update board.failures
set retry_state = coalesce(retry_state, '{}') || cast(:state as jsonb) || jsonb_build_object('last_tried_at', now())
where id = :id
""")


def standing(connection: Connection, failure_ids: Sequence[int]) -> dict[int, RowMapping]:
    """Where these failures, their runs and their letters stand, by id; those that are not there are left out."""
    rows = connection.execute(_GIVEN, {"ids": list(failure_ids)}).mappings()
    return {row["id"]: row for row in rows}


def candidates(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """The same of the newest failures of the last 72 hours that a retry may help and whose dead letter is open."""
    return connection.execute(_CANDIDATES, {"limit": limit}).mappings().all()


def note(connection: Connection, failure_id: int, *, run_id: UUID, attempts: int, source: str) -> None:
    """Remember a retry: its run, and how many there were by now."""
    given = {"id": failure_id, "run_id": str(run_id), "attempts": attempts, "source": source}
    connection.execute(_NOTE, given)


def note_error(connection: Connection, failure_id: int, error: str, *, attempts: int, source: str) -> None:
    """Remember why a retry could not be made; it does not count as one."""
    state: dict[str, Any] = {"attempts": attempts, "source": source, "error": readable(error)[:_LONGEST_ERROR]}
    connection.execute(_NOTE_ERROR, {"id": failure_id, "state": dumps(state)})
