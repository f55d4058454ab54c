"""What tracing costs: CPU time of a worker process for each job that does nothing, on embedded servers.

    python -m bench.tracing [--jobs 20000] [--rounds 5]

`bare` is a worker without the tracing middleware, `off` the one that ships, `dropped` one whose traces are not kept,
`kept` one that sends each span to a back end in another process. Rounds take turns, and the least figure of each
counts, for other programs can only add to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from callboard import Backoff, get_broker, get_settings, job, make_broker
from callboard.embedded import EmbeddedServers
from callboard.ledger import migrate
from callboard.middleware.tracing import CARRIER, Tracing
from callboard.worker import Worker, plan_lanes
from observability import tracing
from sandbox.otlp import OtlpReceiver

QUEUE = "nothing"


@job("nothing", queue=QUEUE, retry=Backoff(max_retries=0, base=1, cap=1))
def nothing() -> None:
    """Do it."""


def work(number: int) -> None:
    """The worker process: CPU seconds from its first look at the queue to the last settled message, on stdout."""
    broker = get_broker()
    if os.environ.get("BENCH_BARE"):
        broker.middleware = [one for one in broker.middleware if not isinstance(one, Tracing)]
    broker.emit_after("process_boot")
    worker = Worker(broker, plan_lanes(get_settings(), [QUEUE]))  # type: ignore[arg-type]  # ours by the settings
    began, wall = time.process_time(), time.monotonic()
    worker.start()
    while any(sum(depth[:3]) for depth in worker.broker.depths([QUEUE]).values()):
        time.sleep(0.05)
    used, taken = time.process_time() - began, time.monotonic() - wall
    worker.stop(30)
    tracing.stop()
    lost = sum(tracing.dropped().values())
    print(f"{used / number * 1e6:.1f} {number / taken:.0f} {lost}")


def measure(environment: dict[str, str], number: int) -> list[float]:
    """CPU µs a job, jobs a second, spans lost."""
    broker = make_broker()
    flag = "00" if "OTEL_TRACES_SAMPLER" in environment else "01"
    sent: dict[str, Any] = {CARRIER: {"traceparent": f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}"}}
    for start in range(0, number, 1000):
        broker.enqueue_many([nothing.message_with_options(**sent) for _ in range(min(1000, number - start))])
    broker.close()
    command = [sys.executable, "-m", "bench.tracing", "--work", str(number)]
    said = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    return [float(word) for word in said.stdout.split()]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers, OtlpReceiver() as back_end:
        points = servers.start()
        os.environ |= {"CALLBOARD_DATABASE_URL": points.database_url, "CALLBOARD_BROKER_URL": points.broker_url}
        os.environ |= {"CALLBOARD_LOG_LEVEL": "error", "OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
        migrate.upgrade(points.database_url)
        on = {"OTEL_EXPORTER_OTLP_ENDPOINT": back_end.url}
        cases = {
            "bare": {"BENCH_BARE": "1"},
            "off": {},
            "dropped": on | {"OTEL_TRACES_SAMPLER": "always_off"},
            "kept": on,
        }
        found: dict[str, list[list[float]]] = {name: [] for name in cases}
        for number in range(given.rounds):  # each goes first now and last then
            for name, environment in list(cases.items())[:: 1 if number % 2 else -1]:
                found[name].append(measure(environment, given.jobs))
    print(f"{'':10}{'CPU µs/job':>12}{'jobs/s':>10}{'lost':>8}   all rounds, µs")
    for name, rounds in found.items():
        best = min(rounds)
        others = " ".join(f"{cpu:.1f}" for cpu, *_ in rounds)
        print(f"{name:10}{best[0]:12.1f}{best[1]:10.0f}{best[2]:8.0f}   {others}")


if __name__ == "__main__":
    main()
