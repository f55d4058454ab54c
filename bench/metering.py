"""What it costs to count: `python -m bench.metering [--jobs 100000] [--times 5]`.

First the CPU time that a committer spends to count a batch of attempts, per attempt, with the values in the files that
a supervisor adds up, with and without exemplars. Then whole drains of no-op jobs by two worker processes, counting and
not counting in turn, so that what else the machine does weighs on both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dramatiq import Message
from dramatiq.broker import MessageProxy
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from callboard.embedded import EmbeddedServers, Endpoints
from callboard.ledger.facts import Ending, Report, RunFacts, Started
from callboard.ledger.migrate import upgrade
from callboard.outcome import Completed
from callboard.run import Run
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BATCHES = (1, 10, 50, 250)
_ATTEMPTS = 20_000
_CALL = "from bench.metering_jobs import noop; noop.{call}"
_SPAN = "select count(*), extract(epoch from max(finished_at) - min(started_at)) from board.runs"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.metering", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of one drain")
    parser.add_argument("--times", type=int, default=5, help="drains of each kind")
    given = parser.parse_args()
    print("counting, µs of CPU per attempt      plain   with exemplars")
    for batch in _BATCHES:
        plain, marked = (_counting(batch, exemplars=exemplars) for exemplars in (False, True))
        print(f"  batches of {batch:4} {plain:23.1f} {marked:12.1f}")
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder) / "h", broker_port=0) as servers:
        _compare(servers.start(), given.jobs, given.times)


def _counting(batch: int, *, exemplars: bool) -> float:
    """In a process of its own: the files of prometheus_client are chosen when it is imported."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": folder, "PROMETHEUS_DISABLE_CREATED_SERIES": "true"}
        code = f"from bench.metering import count; count({batch}, {exemplars})"
        command = [sys.executable, "-c", code]
        return float(subprocess.run(command, env=env, check=True, capture_output=True).stdout)  # noqa: S603 - ourselves


def count(batch: int, exemplars: bool) -> None:  # noqa: FBT001 - called from a command line
    """Print the µs of CPU per attempt of counting batches of this size."""
    from callboard.metering import Metering  # noqa: PLC0415 - after the environment is set
    from callboard.settings import get_settings  # noqa: PLC0415 - the same

    metering = Metering.of(get_settings())
    if metering is None:
        raise RuntimeError("CALLBOARD_METRICS is off; unset it.")
    messages = [_attempt(exemplars=exemplars) for _ in range(batch)]
    ending: Ending = vars(messages[0])["execution"].ending
    rounds = _ATTEMPTS // batch
    for warm in (True, False):
        began = time.process_time()
        for _ in range(10 if warm else rounds):
            counts = metering.batch(messages)
            metering.intend(counts, ending)
            metering.count(counts)
            metering.done()
    print((time.process_time() - began) / rounds / batch * 1e6)


def _attempt(*, exemplars: bool) -> MessageProxy:
    from callboard.middleware._execution import Execution  # noqa: PLC0415 - after the environment is set

    message: Message[Any] = Message("default", "noop", (), {}, {"callboard": {"eligible_at": time.time()}})
    facts = RunFacts(uuid4(), datetime.now(UTC), "noop", "default", "send", "")
    started = Started(1, 1, recorded=False)
    execution = Execution(JobSpec(name="noop", fn=print), facts, started, Run.begin(facts, started))
    trace = ("a" * 32, "b" * 16) if exemplars else None
    execution.ending = Ending(facts, started, Completed(), Report(), "", 0.001, time.monotonic(), 0.0, trace)
    proxy = MessageProxy(message)
    vars(proxy)["execution"] = execution
    return proxy


def _compare(points: Endpoints, jobs: int, times: int) -> None:
    upgrade(points.database_url)
    rates: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(times):
        for metrics in (False, True):
            rates[metrics].append(_drain(points, jobs, metrics=metrics))
            print(f"  metrics {'on ' if metrics else 'off'} {rates[metrics][-1]:8.0f} jobs/s")
    on, off = statistics.median(rates[True]), statistics.median(rates[False])
    print(f"medians of {times}: on {on:.0f}/s, off {off:.0f}/s: {100 * (1 - on / off):.1f} % less")


def _drain(points: Endpoints, jobs: int, *, metrics: bool) -> float:
    """Jobs a second: all of them wait when the first is begun."""
    env = os.environ | {
        "CALLBOARD_DATABASE_URL": points.database_url,
        "CALLBOARD_BROKER_URL": points.broker_url,
        "CALLBOARD_ACTORS": "bench.metering_jobs",
        "CALLBOARD_LOG_LEVEL": "error",
        "CALLBOARD_METRICS": str(metrics).lower(),
        "CALLBOARD_WORKER_METRICS_PORT": "0",
    }
    engine = create_engine(points.database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("truncate board.runs, board.totals"))
    for call in ("broker.pause('default')", f"send_many([()] * {jobs})"):
        _call(call, env)
    with _workers(env):
        _await(engine, "select count(*) from board.workers where state = 'alive'", 2)
        _call("broker.resume('default')", env)
        _await(engine, "select coalesce(sum(attempts), 0) from board.totals", jobs)
    with engine.begin() as connection:
        count, seconds = connection.execute(text(_SPAN)).one()
    return float(count) / float(seconds)


def _call(call: str, env: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-c", _CALL.format(call=call)], env=env, check=True)  # noqa: S603 - ourselves


@contextmanager
def _workers(env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "cli", "worker", "-p", "2", "-t", "8"], env=env)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _await(engine: Any, query: str, count: int) -> None:  # noqa: ANN401 - an Engine
    found: Sequence[Any] = [0]
    while found[0] < count:
        time.sleep(0.05)
        with engine.begin() as connection:
            found = connection.execute(text(query)).one()


if __name__ == "__main__":
    main()
