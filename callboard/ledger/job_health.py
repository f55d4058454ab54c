"""What health checks read of the ledger: who works on which queue, what waits for a retry, what fails too often.

Every count stops just above what it is compared with, and the whole is given up after three seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, RowMapping

_BOUND = text("select set_config('statement_timeout', '3s', true), set_config('lock_timeout', '1s', true)")
_CONSUMED = text("""
select distinct unnest(queues) as queue from board.workers where state in ('alive', 'draining') and lease_until > now()
""")
_AWAITED = text("select queue from board.canaries where sent_at > coalesce(last_success_at, '-infinity')")
_RETRYING = text("""
select count(*) from (
    select from board.runs where state = 'pending' and reason = 'retry' limit :most
) as waiting
""")
# What somebody has dealt with is over: its issue is resolved, its letter discarded, or the replay of its letter ended;
# a replay that failed has failures of its own. An issue that opens again brings what was resolved too early back.
_UNSETTLED = """
not exists (select from board.issues i where i.id = f.issue_id and i.status = 'resolved')
  and not exists (
    select from board.dead_letters d left join board.runs r on r.id = d.replay_run_id
    where d.run_id = f.run_id and (d.state = 'discarded' or r.state in ('completed', 'failed'))
  )
"""
_SOURCES = "array_agg(distinct issue_id) filter (where issue_id is not null)"
_ERRORS = text(f"""
select error_type, count(*) as failures, {_SOURCES} as issues from board.failures f
where occurred_at > now() - interval '1 hour' and kind <> 'authentication' and {_UNSETTLED}
group by error_type having count(*) > :least order by count(*) desc limit 100
""")  # noqa: S608 - constants only
_AUTHENTICATION = text(f"""
select scope, count(*) as failures, {_SOURCES} as issues from board.failures f
where occurred_at > now() - interval '1 hour' and kind = 'authentication' and {_UNSETTLED}
group by scope
""")  # noqa: S608 - constants only


def bound(connection: Connection) -> None:
    """Let no statement of this transaction take longer than three seconds."""
    connection.execute(_BOUND)


def consumed(connection: Connection) -> Collection[str]:
    """The queues that a live worker takes from."""
    return set(connection.execute(_CONSUMED).scalars())


def awaited_canaries(connection: Connection) -> Collection[str]:
    """The queues whose canary has not come back: one message of theirs is nobody's work."""
    return set(connection.execute(_AWAITED).scalars())


def retrying(connection: Connection, *, most: int) -> int:
    """Runs that wait for a retry; not counted beyond `most`."""
    return int(connection.execute(_RETRYING, {"most": most}).scalar_one())


def errors_of_an_hour(connection: Connection, *, least: int) -> Sequence[RowMapping]:
    """Classes of errors with more than `least` failures in the last hour that nobody has dealt with.

    Each with how many there are (`failures`) and the ids of their `issues`, None if they have none; no refused
    credentials.
    """
    return connection.execute(_ERRORS, {"least": least}).mappings().all()


def authentication_of_an_hour(connection: Connection) -> Sequence[RowMapping]:
    """Refused credentials of the last hour by scope, which is empty where a job has none; as for errors."""
    return connection.execute(_AUTHENTICATION).mappings().all()
