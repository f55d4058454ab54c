"""Queries on `board.totals`: how many attempts ended how and how long they ran; counters that pruning never lowers."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Run times in seconds: the buckets of `callboard_run_duration_seconds`; a last one takes what is longer.
BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
SHARDS = 16

_ADD = text("""
insert into board.totals as t (job, outcome, shard, queue, attempts, seconds, buckets)
values (:job, :outcome, :shard, :queue, 1, :seconds, :buckets)
on conflict (job, outcome, shard) do update
set attempts = t.attempts + 1, seconds = t.seconds + excluded.seconds, queue = excluded.queue,
    buckets[:slot] = t.buckets[:slot] + 1
""")


def add(connection: Connection, *, job: str, queue: str, outcome: str, seconds: float, shard: int) -> None:
    """Count one attempt that ended with `outcome` after `seconds`."""
    slot = bisect_left(BOUNDS, seconds)
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[slot] = 1
    given = {"job": job, "queue": queue, "outcome": outcome, "seconds": seconds, "shard": shard % SHARDS}
    connection.execute(_ADD, given | {"buckets": buckets, "slot": slot + 1})
