"""What it costs to record a run: `python -m bench.ledger [--rows 1000,10000000] [--batches 50,250]`.

Starts an embedded Postgres in a temporary folder with one ledger of each size, and has a recorder write batches of
light runs that completed: one row each, and their totals. The ledgers take turns, so that what else the machine does
weighs on all of them alike. Prints, for each size and batch, the median of several measurements of the client's CPU
time, that of all processes of Postgres, and the time that passed, in µs per run. Exits 1 when a bound is missed. With
`--ways` it compares ways to send such a batch instead.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

import psutil  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from bench import ledger_ways
from callboard.embedded import EmbeddedServers
from callboard.ledger.database import make_engine
from callboard.ledger.facts import Ending, Report, RunFacts, Started
from callboard.ledger.migrate import upgrade
from callboard.ledger.recorder import Recorder
from callboard.outcome import Completed
from callboard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    Write = Callable[[Sequence[Ending]], object]

MOST_CLIENT, MOST_POSTGRES, MOST_GROWTH = 8.0, 18.0, 1.10
_JOBS = 20
_SMALL = 100_000
_CHUNK = 1_000_000

# Ids as of messages: the time in their first 48 bits. The rows lie evenly between the month's begin and now.
_FILL = text("""
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, args, attempt, token, worker_id,
    eligible_at, started_at, finished_at)
select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       at, 'job' || n % :jobs, 'default', 'completed', 'send', 'job-' || gen_random_uuid(), '{}', 1, n, :worker,
       at, at, at
from (
    select n, date_trunc('month', now()) + (now() - date_trunc('month', now())) * (n / cast(:rows as float8)) as at
    from generate_series(cast(:low as bigint), cast(:high as bigint)) n
) rows
""")


class Cost(NamedTuple):
    """Seconds of CPU of this process and of Postgres, and seconds that passed."""

    client: float
    postgres: float
    wall: float

    def since(self, before: Cost, runs: int) -> Cost:
        """The difference, in µs per run."""
        return Cost(*((now - then) / runs * 1e6 for now, then in zip(self, before, strict=True)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=_numbers, default=[1_000, 10_000_000], help="sizes of the table, growing")
    parser.add_argument("--batches", type=_numbers, default=[50, 250], help="runs in one batch")
    parser.add_argument("--runs", type=int, default=20_000, help="runs written in one measurement")
    parser.add_argument("--times", type=int, default=5, help="measurements of which the median counts")
    parser.add_argument("--ways", action="store_true", help="compare ways to send a batch, on an empty table")
    return parser.parse_args()


def _numbers(words: str) -> list[int]:
    return [int(word) for word in words.split(",")]


def _now() -> Cost:
    return Cost(time.process_time(), _postgres_seconds(), time.perf_counter())


def _postgres_seconds() -> float:
    """CPU time of our Postgres, backends and writers included, by the scheduler's nanoseconds."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith("postgres"):
                total += int(Path(f"/proc/{process.pid}/schedstat").read_text(encoding="ascii").split()[0])
        except (OSError, psutil.Error):
            continue
    return total / 1e9


def _uuid7() -> UUID:
    random = int.from_bytes(os.urandom(10)) & ((1 << 74) - 1)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return UUID(int=time.time_ns() // 1_000_000 << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def _batch(size: int, tokens: Callable[[], int]) -> list[Ending]:
    return [_ending(number, tokens()) for number in range(size)]


def _ending(number: int, token: int) -> Ending:
    now = datetime.now(UTC)
    correlation_id = f"job-{uuid4()}"
    facts = RunFacts(_uuid7(), now, f"job{number % _JOBS}", "default", "send", correlation_id, eligible_at=now)
    return Ending(facts, Started(1, token, recorded=False), Completed(), Report(), "", 0.0001, time.monotonic())


def _measure(write: Write, tokens: Callable[[], int], size: int, runs: int) -> Cost:
    batches = [_batch(size, tokens) for _ in range(max(1, runs // size))]
    before = _now()
    for batch in batches:
        write(batch)
    return _now().since(before, size * len(batches))


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def _fill(engine: Engine, rows: int) -> None:
    """Make the table hold so many rows, and settle it."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("truncate board.runs")
        for low in range(1, rows + 1, _CHUNK):
            given = {"low": low, "high": min(low + _CHUNK - 1, rows), "rows": rows, "jobs": _JOBS, "worker": uuid4()}
            connection.execute(_FILL, given)
        connection.exec_driver_sql("vacuum analyze board.runs")
        connection.exec_driver_sql("checkpoint")


@contextmanager
def _ledger(url: str, rows: int) -> Iterator[Engine]:
    """A ledger of its own with so many rows."""
    name = f"rows_{rows}"
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    own = url.replace("/callboard?", f"/{name}?", 1)
    upgrade(own)
    engine = make_engine(own, pool_size=2, application="bench")
    _fill(engine, rows)
    yield engine
    engine.dispose()


def _recording(url: str, args: argparse.Namespace) -> bool:
    seen: dict[tuple[int, int], list[Cost]] = {(rows, size): [] for size in args.batches for rows in args.rows}
    with ExitStack() as stack:
        ledgers = {rows: stack.enter_context(_ledger(url, rows)) for rows in args.rows}
        for _ in range(args.times):
            for (rows, size), costs in seen.items():
                costs.append(_record(ledgers[rows], rows, size, args.runs))
    print("      rows  batch  client  postgres   wall   µs per run")
    medians = {key: _median(costs) for key, costs in seen.items()}
    for (rows, size), cost in medians.items():
        print(f"{rows:10,} {size:6} {cost.client:7.2f} {cost.postgres:9.2f} {cost.wall:6.2f}")
    return _within(medians, args)


def _record(engine: Engine, rows: int, size: int, runs: int) -> Cost:
    if rows <= _SMALL:  # what was written before would make a large one of it
        _fill(engine, rows)
    recorder = Recorder(engine, uuid4(), Settings())
    _measure(recorder.finish_many, recorder.tokens, size, runs // 10)
    cost = _measure(recorder.finish_many, recorder.tokens, size, runs)
    recorder.close()
    return cost


def _within(seen: dict[tuple[int, int], Cost], args: argparse.Namespace) -> bool:
    fine = all(cost.client <= MOST_CLIENT and cost.postgres <= MOST_POSTGRES for cost in seen.values())
    for size in args.batches:
        first, last = (sum(seen[rows, size][:2]) for rows in (args.rows[0], args.rows[-1]))
        print(f"batches of {size}: {args.rows[-1]:,} rows cost {last / first:.2f} times what {args.rows[0]:,} do")
        fine = fine and last <= first * MOST_GROWTH
    return fine


def _compare(url: str, args: argparse.Namespace) -> bool:
    engine = make_engine(url, pool_size=2, application="bench")
    recorder = Recorder(engine, uuid4(), Settings())
    print("way                batch  client  postgres  wall   µs per run")
    with ledger_ways.connection(engine) as connection:
        for size in args.batches:
            for name, way in ledger_ways.WAYS.items():
                write = way(connection)
                _measure(write, recorder.tokens, size, args.runs // 4)
                cost = _median([_measure(write, recorder.tokens, size, args.runs) for _ in range(args.times)])
                print(f"{name:18} {size:5} {cost.client:7.2f} {cost.postgres:9.2f} {cost.wall:6.2f}", flush=True)
    recorder.close()
    engine.dispose()
    return True


def main() -> None:
    """Run the measurement."""
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder, EmbeddedServers(Path(folder)) as servers:
        url = servers.start().database_url
        upgrade(url)
        fine = (_compare if args.ways else _recording)(url, args)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
