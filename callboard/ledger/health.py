"""What the exporter reads of the ledger: a few small queries in one transaction of bounded time.

None of them counts runs. Dead letters and what is open stand in partial indexes, workers are few, and how many rows a
table has is what Postgres' statistics estimate.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from callboard.ledger import breakers, canaries
from callboard.ledger.database import get_engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

# Less than the patience of the exporter, so that the server gives up before, and frees what it holds.
_BOUND = text("select set_config('statement_timeout', '3s', true), set_config('lock_timeout', '1s', true)")
_SCHEDULES = text("select * from board.schedules where declared order by job")
_DEAD = text("""
select queue, job, count(*) as dead, extract(epoch from now() - min(created_at))::float8 as seconds
from board.dead_letters where state = 'open' group by queue, job
""")
_RUNNING = text("""
select job, extract(epoch from now() - min(started_at))::float8 as seconds
from board.runs where state = 'running' group by job
""")
# The longest age rather than the age of the least `created_at`, which Postgres would look for by walking the index of
# that column past every completed run. An index of its own would make each enqueue of a durable run dearer: the column
# that says so would no longer be updated in place.
_UNSENT = text("""
select coalesce(extract(epoch from max(now() - created_at)), 0)::float8 as seconds
from board.runs where state = 'pending' and payload is not null and enqueued_at is null
""")
_WORKERS = text("""
select queues, state = 'alive' and lease_until > now() as takes, lease_until > now() as alive
from board.workers where state in ('alive', 'draining')
""")
# A table that was never vacuumed or analyzed has no estimate (-1), but its activity counters tell.
_TABLES = text("""
select coalesce(parent.relname, c.relname) as name,
       sum(case when c.reltuples < 0 then pg_stat_get_live_tuples(c.oid) else c.reltuples end)::float8 as rows
from pg_class c
left join pg_inherits i on i.inhrelid = c.oid
left join pg_class parent on parent.oid = i.inhparent
where c.relnamespace = 'board'::regnamespace and c.relkind = 'r'
group by 1 order by 1
""")


@dataclass(frozen=True)
class Health:
    """The ledger at one moment; ages in seconds.

    Attributes:
        schedules: Rows of the declared ones.
        dead: Open dead letters by queue and job.
        dead_in: The same by queue.
        dead_seconds: Age of the oldest open one by queue.
        running_seconds: Run time so far of the oldest run by job.
        unsent_seconds: Age of the oldest pending run whose message was not handed to the broker; 0 without one.
        consumers: Live worker processes that take from a queue.
        alive: Worker processes with a lease.
        stale: Those whose lease is over, and who were not declared dead yet.
        canaries: When each queue's canary last came back.
        breakers: Circuit breakers by kind and state, see `breakers.by_kind`.
        table_rows: Estimates by table, partitions summed.
    """

    schedules: Sequence[RowMapping]
    dead: Mapping[tuple[str, str], int]
    dead_in: Mapping[str, int]
    dead_seconds: Mapping[str, float]
    running_seconds: Mapping[str, float]
    unsent_seconds: float
    consumers: Mapping[str, int]
    alive: int
    stale: int
    canaries: Mapping[str, datetime]
    breakers: Sequence[RowMapping]
    table_rows: Mapping[str, float]


def read() -> Health:
    """Ask the ledger.

    Raises:
        LookupError: It is not known where it is.
        sqlalchemy.exc.DBAPIError: It cannot be reached, or a query took longer than 3 s.
    """
    with get_engine().begin() as connection:
        connection.execute(_BOUND)
        return _read(connection)


def _read(connection: Connection) -> Health:
    dead = connection.execute(_DEAD).all()
    oldest: dict[str, float] = {}
    dead_in: dict[str, int] = defaultdict(int)
    for row in dead:
        dead_in[row.queue] += row.dead
        oldest[row.queue] = max(row.seconds, oldest.get(row.queue, 0.0))
    consumers, alive, stale = _workers(connection)
    return Health(
        schedules=connection.execute(_SCHEDULES).mappings().all(),
        dead={(row.queue, row.job): row.dead for row in dead},
        dead_in=dead_in,
        dead_seconds=oldest,
        running_seconds={row.job: row.seconds for row in connection.execute(_RUNNING)},
        unsent_seconds=connection.execute(_UNSENT).scalar_one(),
        consumers=consumers,
        alive=alive,
        stale=stale,
        canaries=canaries.latest(connection),
        breakers=breakers.by_kind(connection),
        table_rows={row.name: row.rows for row in connection.execute(_TABLES)},
    )


def _workers(connection: Connection) -> tuple[dict[str, int], int, int]:
    consumers: dict[str, int] = defaultdict(int)
    rows = connection.execute(_WORKERS).all()
    for row in rows:
        for queue in row.queues if row.takes else ():
            consumers[queue] += 1
    alive = sum(row.alive for row in rows)
    return consumers, alive, len(rows) - alive
