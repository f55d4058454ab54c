"""Ways to send a batch of completed runs to Postgres, for `python -m bench.ledger --ways`.

All write the same columns and skip the totals. Only those with `on conflict` can stand a row that is there already.
"""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import uuid4

import orjson
import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    from callboard.ledger.facts import Ending

    Write = Callable[[Sequence[Ending]], object]

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_COLUMNS = """id, created_at, job, queue, state, trigger, correlation_id, args, eligible_at, attempt, token, worker_id,
    started_at, finished_at"""
_VALUES = """id, created_at, job, queue, 'completed', trigger, correlation_id, args, eligible_at, 1, token,
    %(worker)s::uuid, now() - make_interval(secs => since), now() - make_interval(secs => ago)"""
_NAMES = "id, created_at, job, queue, trigger, correlation_id, args, eligible_at, token, since, ago"
_TYPES = ("uuid", "timestamptz", "text", "text", "text", "text", "jsonb", "timestamptz", "bigint", "float8", "float8")
_SKIP = "on conflict (id, created_at) do nothing"
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_WORKER = uuid4()


@contextmanager
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection of psycopg's own, in autocommit mode, which prepares every statement."""
    pooled = engine.raw_connection()
    own = cast("Connection", pooled.driver_connection)
    pooled.detach()
    own.autocommit, own.prepare_threshold = True, 0
    with own:
        yield own


def _row(ending: Ending, now: float) -> tuple[Any, ...]:
    facts, ago = ending.facts, now - ending.ended
    told = (facts.id, facts.created_at, facts.job, facts.queue, facts.trigger, facts.correlation_id)
    return (*told, "{}", facts.eligible_at, ending.started.token, ago + ending.seconds, ago)


def unnest(own: Connection, tail: str = _SKIP) -> Write:
    """Typed arrays, one per column, binary."""
    arrays = ", ".join(f"%({name})b::{kind}[]" for name, kind in zip(_NAMES.split(", "), _TYPES, strict=True))
    sql = f"insert into board.runs ({_COLUMNS}) select {_VALUES} from unnest({arrays}) as g ({_NAMES}) {tail}"  # noqa: S608 - ours

    def write(endings: Sequence[Ending]) -> None:
        now = time.monotonic()
        columns = zip(*(_row(ending, now) for ending in endings), strict=True)
        given = {name: list(column) for name, column in zip(_NAMES.split(", "), columns, strict=True)}
        own.execute(sql, given | {"worker": _WORKER})

    return write


def json(own: Connection, tail: str = _SKIP) -> Write:
    """One JSON array of objects."""
    names = zip(_NAMES.split(", "), _TYPES, strict=True)
    record = ", ".join(f"{name} {kind}" for name, kind in names)
    source = f"json_to_recordset(%(rows)s::json) as g ({record})"
    sql = f"insert into board.runs ({_COLUMNS}) select {_VALUES} from {source} {tail}"  # noqa: S608 - ours
    keys = _NAMES.split(", ")

    def write(endings: Sequence[Ending]) -> None:
        now = time.monotonic()
        rows = [dict(zip(keys, _row(ending, now), strict=True)) for ending in endings]
        own.execute(sql, {"rows": orjson.dumps(rows).decode(), "worker": _WORKER})

    return write


def copy_text(own: Connection) -> Write:
    """COPY straight into the table, as text by psycopg."""

    def write(endings: Sequence[Ending]) -> None:
        now, clock = time.monotonic(), datetime.now(UTC)
        with own.cursor() as cursor, cursor.copy(f"copy board.runs ({_COLUMNS}) from stdin") as copy:
            for ending in endings:
                copy.write_row(_copied(ending, now, clock))

    return write


def _copied(ending: Ending, now: float, clock: datetime) -> tuple[Any, ...]:
    facts = ending.facts
    finished = clock - timedelta(seconds=now - ending.ended)
    told = (facts.id, facts.created_at, facts.job, facts.queue, "completed", facts.trigger, facts.correlation_id)
    ran = (ending.started.token, _WORKER, finished - timedelta(seconds=ending.seconds), finished)
    return (*told, "{}", facts.eligible_at, 1, *ran)


def copy_binary(own: Connection) -> Write:
    """COPY straight into the table, by a binary encoder written for these columns."""

    def write(endings: Sequence[Ending]) -> None:
        now, clock = time.monotonic(), _microseconds(datetime.now(UTC))
        rows = [_encoded(ending, now, clock) for ending in endings]
        sql = f"copy board.runs ({_COLUMNS}) from stdin (format binary)"
        with own.cursor() as cursor, cursor.copy(sql) as copy:
            copy.write(b"".join((b"PGCOPY\n\xff\r\n\0", bytes(8), *rows, b"\xff\xff")))

    return write


def _microseconds(moment: datetime) -> int:
    since = moment - _POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _encoded(ending: Ending, now: float, clock: int) -> bytes:
    facts = ending.facts
    finished = clock - int((now - ending.ended) * 1e6)
    begun, eligible = finished - int(ending.seconds * 1e6), _microseconds(facts.eligible_at or facts.created_at)
    words = (facts.job, facts.queue, "completed", facts.trigger, facts.correlation_id)
    texts = b"".join(struct.pack(">i", len(word)) + word.encode() for word in words)
    head = struct.pack(">hi16siq", 14, 16, facts.id.bytes, 8, _microseconds(facts.created_at))
    args = struct.pack(">ib2s", 3, 1, b"{}")  # jsonb in binary: a version, then its text
    times = struct.pack(">iqiq", 8, begun, 8, finished)
    tail = struct.pack(">iqihiqi16s", 8, eligible, 2, 1, 8, ending.started.token, 16, _WORKER.bytes)
    return head + texts + args + tail + times


def temporary(own: Connection) -> Write:
    """COPY as text into a temporary table, then `insert ... select ... on conflict`."""
    own.execute("create temporary table if not exists given (like board.runs including defaults) on commit delete rows")

    def write(endings: Sequence[Ending]) -> None:
        now, clock = time.monotonic(), datetime.now(UTC)
        with own.transaction(), own.cursor() as cursor:
            with cursor.copy(f"copy given ({_COLUMNS}) from stdin") as copy:
                for ending in endings:
                    copy.write_row(_copied(ending, now, clock))
            cursor.execute(f"insert into board.runs ({_COLUMNS}) select {_COLUMNS} from given {_SKIP}")  # noqa: S608 - ours

    return write


def pipeline(own: Connection) -> Write:
    """One prepared `insert` per run, all sent before the first answer is read."""
    values = ", ".join(f"%({name})s::{kind} as {name}" for name, kind in zip(_NAMES.split(", "), _TYPES, strict=True))
    sql = f"insert into board.runs ({_COLUMNS}) select {_VALUES} from (select {values}) g {_SKIP}"  # noqa: S608 - ours
    keys = (*_NAMES.split(", "), "worker")

    def write(endings: Sequence[Ending]) -> None:
        now = time.monotonic()
        rows = [dict(zip(keys, (*_row(ending, now), _WORKER), strict=True)) for ending in endings]
        with own.transaction(), own.cursor() as cursor:
            cursor.executemany(sql, rows)

    return write


WAYS: dict[str, Callable[[Connection], Write]] = {
    "json": json,
    "json, no conflict": lambda own: json(own, tail=""),
    "unnest": unnest,
    "unnest, no conflict": lambda own: unnest(own, tail=""),
    "copy text": copy_text,
    "copy binary": copy_binary,
    "copy, temporary": temporary,
    "pipeline": pipeline,
}
