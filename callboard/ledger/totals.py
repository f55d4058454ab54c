"""Queries on `board.totals`: how many attempts ended how and how long they ran; counters that pruning never lowers."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from sqlalchemy import text

from observability.snapshot import RUN_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping

SHARDS = 16

_ADD = text("""
insert into board.totals as t (job, outcome, shard, queue, attempts, seconds, buckets)
values (:job, :outcome, :shard, :queue, 1, :seconds, :buckets)
on conflict (job, outcome, shard) do update
set attempts = t.attempts + 1, seconds = t.seconds + excluded.seconds, queue = excluded.queue,
    buckets[:slot] = t.buckets[:slot] + 1
""")


_BY_JOB = text("""
select job, max(queue) as queue, outcome, sum(attempts) as attempts, sum(seconds) as seconds
from board.totals group by job, outcome
""")
_DURATIONS = text("""
select job, slot, sum(count) as count from board.totals, unnest(buckets) with ordinality as b (count, slot)
group by job, slot order by job, slot
""")


def add(connection: Connection, *, job: str, queue: str, outcome: str, seconds: float, shard: int) -> None:
    """Count one attempt that ended with `outcome` after `seconds`."""
    slot = bisect_left(RUN_BUCKETS, seconds)
    buckets = [0] * (len(RUN_BUCKETS) + 1)
    buckets[slot] = 1
    given = {"job": job, "queue": queue, "outcome": outcome, "seconds": seconds, "shard": shard % SHARDS}
    connection.execute(_ADD, given | {"buckets": buckets, "slot": slot + 1})


def by_outcome(connection: Connection) -> Sequence[RowMapping]:
    """Attempts and their run time by job and outcome."""
    return connection.execute(_BY_JOB).mappings().all()


def durations(connection: Connection) -> Sequence[RowMapping]:
    """Attempts by job and slot of `RUN_BUCKETS`, from 1; the last slot takes what is longer than all bounds."""
    return connection.execute(_DURATIONS).mappings().all()
