"""Queries on `board.notifications`: who is told of which run, once each, and whether it went out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from callboard.ledger import tables
from callboard.ledger.facts import dumps, readable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.wire import Cursor

# `every`: seconds in which one problem of a job is told to a target; null: each is. `fingerprint`: of a channel's URL.
_INSERT = """
with g as materialized (
    select * from json_to_recordset(%(rows)s::json) as g (
        run_id uuid, job text, event text, channel text, target text, every float8, fingerprint text)
)
insert into board.notifications (run_id, job, event, channel, target)
select g.run_id, g.job, g.event, g.channel, g.target from g
where not exists (select from board.disabled_channels d where d.name = g.target and d.fingerprint = g.fingerprint)
  and (g.every is null or not exists (
      select from board.notifications n
      where n.job = g.job and n.channel = g.channel and n.target = g.target and n.event in ('failed', 'cancelled')
        and n.created_at > now() - make_interval(secs => g.every)))
order by g.run_id, g.event, g.channel, g.target
on conflict (run_id, event, channel, target) do nothing
returning id, run_id
"""

_INSERT_RUN = """
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, parent_id, args, payload, delivery,
    eligible_at)
values (%(id)s, %(created_at)s, %(job)s, %(queue)s, 'pending', %(trigger)s, %(correlation_id)s, %(parent_id)s,
    %(args)s::jsonb, %(payload)s, %(delivery)s, %(created_at)s)
on conflict (id, created_at) do nothing
"""

_GIVE_UP = """
update board.notifications set state = 'failed', error = coalesce(%(error)s, error)
where id = %(id)s and state <> 'sent'
"""

_LOAD = text("""
select n.id, n.run_id, n.job, n.event, n.channel, n.target, n.state, n.attempts,
       r.trigger, r.correlation_id, r.counts, r.notes, r.reason, r.error_type, r.error, r.error_kind, r.finished_at,
       extract(epoch from r.finished_at - r.started_at) as seconds, r.attempt, s.interval_seconds
from board.notifications n left join board.runs r on r.id = n.run_id left join board.schedules s on s.job = n.job
where n.id = :id
""")

_TRY = text("update board.notifications set attempts = attempts + 1, state = 'pending' where id = :id")
_SENT = text("update board.notifications set state = 'sent', sent_at = now(), error = null where id = :id")
_TELL = text("update board.notifications set error = :error where id = :id and state = 'pending'")

_DISABLE = text("""
insert into board.disabled_channels as d (name, fingerprint, why) values (:name, :fingerprint, :why)
on conflict (name) do update set fingerprint = excluded.fingerprint, why = excluded.why, disabled_at = now()
where d.fingerprint <> excluded.fingerprint
""")
_ENABLE = text("delete from board.disabled_channels where name = :name")
_DISABLED = text("select name, fingerprint, disabled_at, why from board.disabled_channels order by name")


def insert(cursor: Cursor, rows: Sequence[dict[str, Any]]) -> list[tuple[int, UUID]]:
    """Write what is to be told, each once; the ids of what is new, with the run each tells of."""
    cursor.execute(_INSERT, {"rows": dumps(rows)})
    return [(row[0], row[1]) for row in cursor]


def insert_runs(cursor: Cursor, rows: Sequence[dict[str, Any]]) -> None:
    """Write the pending runs that will send."""
    cursor.executemany(_INSERT_RUN, rows)


def give_up(cursor: Cursor, notification_id: int, error: str | None) -> None:
    """Nobody will try again; what was sent stays sent."""
    cursor.execute(_GIVE_UP, {"id": notification_id, "error": None if error is None else readable(error)})


def load(connection: Connection, notification_id: int) -> RowMapping | None:
    """A notification with the run it tells of; `finished_at` is None where that is gone."""
    return connection.execute(_LOAD, {"id": notification_id}).mappings().one_or_none()


def trying(connection: Connection, notification_id: int) -> None:
    """An attempt to send begins."""
    connection.execute(_TRY, {"id": notification_id})


def sent(connection: Connection, notification_id: int) -> None:
    """It went out."""
    connection.execute(_SENT, {"id": notification_id})


def not_sent(connection: Connection, notification_id: int, error: str) -> None:
    """An attempt failed; another one may follow."""
    connection.execute(_TELL, {"id": notification_id, "error": readable(error)})


def disable(connection: Connection, name: str, fingerprint: str, why: str) -> bool:
    """Send no more to a channel, while its URL has this fingerprint; False if it was disabled before."""
    given = {"name": name, "fingerprint": fingerprint, "why": readable(why)}
    return connection.execute(_DISABLE, given).rowcount == 1


def enable(connection: Connection, name: str) -> None:
    """Send to the channel again."""
    connection.execute(_ENABLE, {"name": name})


def disabled(connection: Connection) -> Sequence[RowMapping]:
    """The channels that were disabled: name, fingerprint, disabled_at, why."""
    return connection.execute(_DISABLED).mappings().all()


def listing(
    connection: Connection,
    *,
    state: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[RowMapping]:
    """Notifications, newest first; `before` is the last id of the page before."""
    columns = tables.notifications.c
    query = select(*columns).order_by(columns.id.desc()).limit(limit)
    if state is not None:
        query = query.where(columns.state == state)
    if since is not None:
        query = query.where(columns.created_at >= since)
    if before is not None:
        query = query.where(columns.id < before)
    return connection.execute(query).mappings().all()
