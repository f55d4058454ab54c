"""Queries on `board.totals`: how many attempts ended how and how long they ran; counters that pruning never lowers."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from callboard.ledger.facts import dumps
from callboard.outcome import Cancelled, Completed, Failed, Interrupted, PutOff, Retry
from observability.snapshot import RUN_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, RowMapping

    from callboard.ledger.facts import Ending
    from callboard.ledger.wire import Cursor
    from callboard.outcome import Outcome

# Every recorder has a shard of its own, so that no two wait for each other's rows; all else shares this one.
SHARED = -1

NAMES: dict[type[Outcome], str] = {
    Completed: "success",
    Retry: "retry",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "shutdown",
    PutOff: "postponed",
}

ADD_MANY = """
insert into board.totals as t (job, outcome, shard, queue, attempts, seconds, buckets)
select job, outcome, %(shard)s, queue, attempts, seconds, buckets
from json_to_recordset(%(totals)s::json)
    as g (job text, outcome text, queue text, attempts bigint, seconds float8, buckets bigint[])
order by job, outcome
on conflict (job, outcome, shard) do update
set attempts = t.attempts + excluded.attempts, seconds = t.seconds + excluded.seconds, queue = excluded.queue,
    buckets = (select array_agg(a + b order by slot)
               from unnest(t.buckets, excluded.buckets) with ordinality as both_of (a, b, slot))
"""

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


def fold(endings: Iterable[Ending]) -> str | None:
    """One row per job and outcome, as the JSON of `ADD_MANY`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for ending in endings:
        facts, seconds = ending.facts, ending.seconds
        key = facts.job, NAMES[type(ending.outcome)]
        row = rows.get(key)
        if row is None:
            row = rows[key] = {"job": key[0], "outcome": key[1], "queue": facts.queue, "attempts": 0, "seconds": 0.0}
            row["buckets"] = [0] * (len(RUN_BUCKETS) + 1)
        row["attempts"] += 1
        row["seconds"] += seconds
        row["buckets"][bisect_left(RUN_BUCKETS, seconds)] += 1
    return dumps(list(rows.values()))


def add_many(cursor: Cursor, endings: Iterable[Ending], *, shard: int) -> None:
    """Count attempts that have ended."""
    cursor.execute(ADD_MANY, {"totals": fold(endings), "shard": shard})


def add(connection: Connection, *, job: str, queue: str, outcome: str, seconds: float, shard: int = SHARED) -> None:
    """Count one attempt that ended with `outcome` after `seconds`."""
    slot = bisect_left(RUN_BUCKETS, seconds)
    buckets = [0] * (len(RUN_BUCKETS) + 1)
    buckets[slot] = 1
    given = {"job": job, "queue": queue, "outcome": outcome, "seconds": seconds, "shard": shard}
    connection.execute(_ADD, given | {"buckets": buckets, "slot": slot + 1})


def by_outcome(connection: Connection) -> Sequence[RowMapping]:
    """Attempts and their run time by job and outcome."""
    return connection.execute(_BY_JOB).mappings().all()


def durations(connection: Connection) -> Sequence[RowMapping]:
    """Attempts by job and slot of `RUN_BUCKETS`, from 1; the last slot takes what is longer than all bounds."""
    return connection.execute(_DURATIONS).mappings().all()
