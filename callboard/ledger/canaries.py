"""Queries on `board.canaries`: one row for each queue, and what became of the canary sent to it last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

_DECLARE = text("""
insert into board.canaries (queue) select unnest(cast(:queues as text[])) on conflict (queue) do nothing
""")
_RETIRE = text("delete from board.canaries where not queue = any(:queues)")
# The rows of what failed stay for an hour, for people who look for the cause.
_COLLECT = text("""
with ended as (
    delete from board.runs
    where job = :job
      and (state = 'completed' or state in ('failed', 'cancelled') and finished_at < now() - interval '1 hour')
    returning queue, state, finished_at
), buried as (
    delete from board.dead_letters where job = :job
), latest as (
    select queue, max(finished_at) as at from ended where state = 'completed' group by queue
)
update board.canaries c set last_success_at = greatest(c.last_success_at, latest.at)
from latest where c.queue = latest.queue
""")
_DUE = text("""
select queue, delivery, extract(epoch from now() - sent_at) as sent_seconds_ago,
       coalesce(sent_at > coalesce(last_success_at, '-infinity'), false) as awaited
from board.canaries
where queue = any(:queues) and coalesce(sent_at, declared_at) <= now() - make_interval(secs => :seconds)
order by queue
""")
_SENT = text("""
update board.canaries c set sent_at = now(), delivery = g.delivery
from unnest(cast(:queues as text[]), cast(:deliveries as text[])) as g (queue, delivery) where c.queue = g.queue
""")
_LATEST = text("select queue, coalesce(last_success_at, declared_at) as at from board.canaries")


def declare(connection: Connection, queues: Collection[str]) -> None:
    """Make the table hold a row for just these queues; one that is there keeps what it says."""
    given = {"queues": sorted(queues)}
    connection.execute(_RETIRE, given)
    connection.execute(_DECLARE, given)


def collect(connection: Connection, job: str) -> None:
    """Note which queues' canaries came back, and delete their runs."""
    connection.execute(_COLLECT, {"job": job})


def due(connection: Connection, queues: Collection[str], *, seconds: float) -> Sequence[RowMapping]:
    """Rows of the queues among these that were sent none for `seconds`; `awaited` says that the last is not back."""
    return connection.execute(_DUE, {"queues": sorted(queues), "seconds": seconds}).mappings().all()


def sent(connection: Connection, deliveries: Mapping[str, str]) -> None:
    """The broker took these canaries: its id of each, by queue."""
    given = {"queues": list(deliveries), "deliveries": list(deliveries.values())}
    connection.execute(_SENT, given)


def latest(connection: Connection) -> dict[str, datetime]:
    """When each queue's canary last came back; when it was declared, before the first did."""
    return {row.queue: row.at for row in connection.execute(_LATEST)}
