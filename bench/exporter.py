"""What a scrape of the exporter costs: `python -m bench.exporter [--queues 40] [--jobs 200] [--messages 100000]`.

Starts an embedded Postgres and Valkey in a temporary folder and makes the state there: jobs spread over the queues, all
of them recurring, each with five open dead letters and a run that runs; 50 workers; the messages in the broker, one in
ten of them delayed, and one in ten (`--durable`) pending in the ledger too; and the rows of runs that completed, over
three months of partitions. Then `callboard exporter` is started as a process of its own and scraped over HTTP as
Prometheus does it, 20 times, a moment apart. Prints median, p95 and worst, the exporter's CPU time, which tells on a
busy machine what it would take on an idle one, and what each source took. Exits 1 when p95 is over the bound, or a
source was down.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from callboard import job
from callboard.cadence import cron
from callboard.compose import make_broker
from callboard.embedded import EmbeddedServers, Endpoints
from callboard.ledger import partitions
from callboard.ledger.database import make_engine
from callboard.ledger.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dramatiq import Message

MOST_SECONDS = 0.100
_CHUNK = 100_000
_DAYS = 90
_PATIENCE_SECONDS = 30.0
# Prometheus 2 asks so, with compression.
_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
    "Accept-Encoding": "gzip",
}

_RUNS = text("""
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, args, attempt, token, worker_id,
    eligible_at, started_at, finished_at)
select gen_random_uuid(), at, 'job_' || n % :jobs, 'queue_' || n % :queues, 'completed', 'send',
       'job-' || gen_random_uuid(), '{}', 1, n, :worker, at, at, at
from (
    select n, now() - make_interval(secs => :span * (1 - n / cast(:rows as float8))) as at
    from generate_series(cast(:low as bigint), cast(:high as bigint)) n
) rows
""")
_OPEN = text("""
insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, args, payload, delivery,
    enqueued_at, started_at, attempt)
select gen_random_uuid(), now(), 'job_' || n % :jobs, 'queue_' || n % :queues, :state, 'send', 'job-x', '{}',
       convert_to(repeat('x', 300), 'UTF8'), 'd', now(), now(), 1
from generate_series(1, :rows) n
""")
_SCHEDULES = text("""
insert into board.schedules (job, queue, cadence, interval_seconds, watermark, last_start_at, last_success_at,
    last_completion_at, last_duration_seconds, missed)
select 'job_' || n, 'queue_' || n % :queues, '*/5 * * * *', 300, now(), now(), now(), now(), 1.5, '{"overlap": 3}'
from generate_series(0, :jobs - 1) n
""")
_OCCURRENCES = text("""
insert into board.occurrences (job, scheduled_for, outcome)
select 'job_' || n, now() - make_interval(mins => 5 * k), 'fired'
from generate_series(0, :jobs - 1) n, generate_series(1, 200) k
""")
_LETTERS = text("""
insert into board.dead_letters (run_id, job, queue, payload, kind, reason, error_type, error, attempts, correlation_id)
select gen_random_uuid(), 'job_' || n % :jobs, 'queue_' || n % :queues, '{}', 'runtime', 'gave up', 'ValueError', '', 3,
       'job-x'
from generate_series(1, 5 * :jobs) n
""")
_CANARIES = text("insert into board.canaries (queue) select 'queue_' || n from generate_series(0, :queues - 1) n")
_WORKERS = text("""
insert into board.workers (id, host, pid, version, broker_id, queues, threads, lease_until)
select gen_random_uuid(), 'bench', n, '0', n::text,
       array(select 'queue_' || q from generate_series(0, :queues - 1) q), 8, now() + interval '1 day'
from generate_series(1, 50) n
""")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.exporter", description=__doc__.partition("\n")[0])
    parser.add_argument("--queues", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--messages", type=int, default=100_000, help="in the broker")
    parser.add_argument("--rows", type=int, default=1_000_000, help="completed runs in the ledger")
    parser.add_argument("--durable", type=float, default=0.1, help="share of messages that are pending runs too")
    parser.add_argument("--scrapes", type=int, default=20)
    return parser.parse_args()


def declare() -> None:
    """The jobs of the measured process: this module is its actor module."""
    queues = int(os.environ["BENCH_QUEUES"])
    for number in range(int(os.environ["BENCH_JOBS"])):
        job(f"job_{number}", queue=f"queue_{number % queues}", cadence=cron("*/5 * * * *"))(_nothing)


def _nothing() -> None:
    """What every job does."""


def _fill_ledger(engine: Engine, args: argparse.Namespace) -> None:
    sizes = {"jobs": args.jobs, "queues": args.queues, "worker": None}
    span = 86_400.0 * _DAYS
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for low in range(1, args.rows + 1, _CHUNK):
            high = min(low + _CHUNK - 1, args.rows)
            connection.execute(_RUNS, sizes | {"low": low, "high": high, "rows": args.rows, "span": span})
        connection.execute(_OPEN, sizes | {"state": "pending", "rows": int(args.messages * args.durable)})
        connection.execute(_OPEN, sizes | {"state": "running", "rows": args.jobs})
        for statement in (_SCHEDULES, _OCCURRENCES, _LETTERS, _CANARIES, _WORKERS):
            connection.execute(statement, sizes)
        connection.exec_driver_sql("vacuum analyze")
        connection.exec_driver_sql("checkpoint")


def _make_partitions(engine: Engine) -> None:
    """The months that the rows lie in, as they were made when they began."""
    with engine.begin() as connection:
        partitions.ensure(connection, now=datetime.now(UTC) - timedelta(days=_DAYS), ahead=_DAYS // 28 + 2)


def _fill_broker(url: str, args: argparse.Namespace) -> None:
    broker = make_broker(url)
    delayed = args.messages // 10
    broker.enqueue_many(_messages(args.messages - delayed, args.queues))
    broker.enqueue_many(_messages(delayed, args.queues), delay=3_600_000)
    broker.close()


def _messages(count: int, queues: int) -> Iterator[Message[None]]:
    from dramatiq import Message  # noqa: PLC0415 - the type is all that the rest needs

    return (Message(f"queue_{n % queues}", "job_0", (), {"number": n}, {}) for n in range(count))


@contextmanager
def _exporter(endpoints: Endpoints, args: argparse.Namespace) -> Iterator[tuple[str, psutil.Process]]:
    """The exporter as it runs anywhere; gives the URL of its metrics, and its process."""
    given = {
        "DATABASE_URL": endpoints.database_url,
        "BROKER_URL": endpoints.broker_url,
        "ACTORS": "bench.exporter_jobs",
        "EXPORTER_PORT": "0",
        "LOG_FORMAT": "json",
    }
    sizes = {"BENCH_QUEUES": str(args.queues), "BENCH_JOBS": str(args.jobs)}
    environment = os.environ | {f"CALLBOARD_{name}": value for name, value in given.items()} | sizes
    command = [sys.executable, "-m", "cli", "exporter"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    try:
        if process.stderr is None:
            raise RuntimeError("the exporter's log has no pipe")
        line = next(line for line in process.stderr if "exporter.started" in line)
        yield line.partition('"url":"')[2].partition('"')[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.communicate()


def _scrape(url: str) -> tuple[float, int]:
    """Seconds until the last byte was there, and how many those were."""
    begun = time.perf_counter()
    with urllib.request.urlopen(urllib.request.Request(url, headers=_HEADERS), timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - loopback
        size = len(answer.read())
    return time.perf_counter() - begun, size


def _told(url: str) -> tuple[int, dict[tuple[str, str], float]]:
    """How many series there are, and what the exporter says of its sources."""
    with urllib.request.urlopen(url, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - loopback
        samples = [s for family in text_string_to_metric_families(answer.read().decode()) for s in family.samples]
    return len(samples), {(s.name, s.labels["source"]): s.value for s in samples if "_exporter_" in s.name}


def _cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def _measure(url: str, process: psutil.Process, args: argparse.Namespace) -> bool:
    first, size = _scrape(url)
    times = []
    before = _cpu_seconds(process)
    for _ in range(args.scrapes):
        time.sleep(0.25)
        times.append(_scrape(url)[0])
    cpu = (_cpu_seconds(process) - before) / args.scrapes
    series, sources = _told(url)
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    print(f"{series:,} series, {size:,} bytes compressed; first scrape {first * 1000:.1f} ms")
    print(f"{args.scrapes} scrapes: median {statistics.median(times) * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms,", end=" ")
    print(f"worst {max(times) * 1000:.1f} ms; CPU of the exporter {cpu * 1000:.1f} ms a scrape")
    for (name, source), value in sorted(sources.items()):
        print(f"  {name}{{source={source!r}}} {value:.4g}")
    return p95 <= MOST_SECONDS and all(value for (name, _), value in sources.items() if name.endswith("_up"))


def main() -> None:
    """Run the measurement."""
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder, EmbeddedServers(Path(folder)) as servers:
        endpoints = servers.start()
        upgrade(endpoints.database_url)
        engine = make_engine(endpoints.database_url, pool_size=2, application="bench")
        _make_partitions(engine)
        _fill_ledger(engine, args)
        engine.dispose()
        _fill_broker(endpoints.broker_url, args)
        with _exporter(endpoints, args) as (url, process):
            fine = _measure(url, process, args)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
