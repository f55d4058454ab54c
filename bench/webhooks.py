"""Deliveries a second: `python -m bench.webhooks [--events 10000] [--every 10] [--endpoint 8] ...`.

Starts an embedded Postgres and Valkey in a temporary folder, and the sandbox's receiver and `callboard worker` as
processes of their own. Every event goes to a fast endpoint, which verifies its signature; and in later trials every
tenth to a second one as well, which accepts and never answers, or refuses connections, or to both of these. All
deliveries wait before the worker starts. The rate is that of the fast endpoint, from its first delivery to its last.

Prints each trial's rate and what the others did to it. Exits 1 if a rate is below 500 a second.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid4

import redis
from sqlalchemy import text

from actors.memory.webhooks import NewWebhook, WebhookEvent, emit, register
from callboard.embedded import EmbeddedServers, Endpoints
from callboard.ledger.database import dispose, transaction
from callboard.ledger.migrate import upgrade
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

LEAST_RATE = 500.0
_CHUNK = 500
_PATIENCE_SECONDS = 300.0
_SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
_TRIALS = ((), ("never answers",), ("refuses",), ("never answers", "refuses"))
_ALL, _TENTH = "memory.created", "memory.recalled"
_TENANT = text("insert into memory.tenants (id, name) values (:id, 'bench')")
_OPEN = text("select count(*) from memory.webhook_deliveries where webhook_id = :id and status <> 'delivered'")
_RATE = text("""
select count(*) / extract(epoch from max(ended_at) - min(ended_at)) as rate,
       percentile_disc(0.5) within group (order by latency_seconds) * 1000 as latency
from memory.webhook_deliveries d join memory.webhook_attempts a on a.delivery_id = d.id
where d.webhook_id = :id and d.status = 'delivered'
""")
_TRIED = text("""
select count(*) from memory.webhook_attempts a join memory.webhook_deliveries d on d.id = a.delivery_id
where d.webhook_id <> :id
""")
_CLEAR = text("""
truncate memory.webhook_attempts, memory.webhook_deliveries, memory.webhook_dead_letters, memory.webhooks,
         board.runs, board.breakers, board.dead_letters, board.failures cascade
""")


class Result(NamedTuple):
    """What came of a trial: deliveries a second, the median of their answers (ms), and attempts at the other ones."""

    others: Sequence[str]
    rate: float
    latency: float
    tried: int


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.webhooks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=10, help="so many events for one that goes to the others too")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--endpoint", type=int, default=8, help="the fast endpoint's deliveries under way at once")
    parser.add_argument("--trials", type=int, nargs="*", default=list(range(len(_TRIALS))), help="0 to 3")
    return parser.parse_args()


@contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-m", *words], text=True, stdout=subprocess.PIPE)  # noqa: S603 - ours
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _point_at(endpoints: Endpoints, home: Path) -> None:
    given = {
        "HOME": str(home),
        "DATABASE_URL": endpoints.database_url,
        "BROKER_URL": endpoints.broker_url,
        "ACTORS": "actors.memory.webhooks",
        "WORKER_METRICS_PORT": "0",
        "LOG_LEVEL": "error",
        "SECRET_KEYS": b64encode(bytes(32)).decode(),
        "MEMORY_ALLOW_PRIVATE": "true",
    }
    os.environ.update({f"CALLBOARD_{name}": value for name, value in given.items()})
    get_settings.cache_clear()


def _fill(ports: dict[str, int], others: Sequence[str], args: argparse.Namespace) -> UUID:
    """The fast webhook and the others, and all events; returns the fast one's id."""
    tenant = uuid4()
    with transaction() as connection:
        connection.execute(_TENANT, {"id": tenant})
        fast = _register(connection, tenant, f"http://127.0.0.1:{ports['fast']}/hooks", "*", args.endpoint)
        for name in others:
            path = "hooks/dead" if name == "never answers" else "hooks"
            _register(connection, tenant, f"http://127.0.0.1:{ports[name]}/{path}", _TENTH, None)
    for first in range(0, args.events, _CHUNK):
        with transaction() as connection:
            numbers = range(first, min(first + _CHUNK, args.events))
            events = ((_ALL if n % args.every else _TENTH, n) for n in numbers)
            emit(connection, [WebhookEvent(tenant, kind, {"memory_id": n}, str(n)) for kind, n in events])
    return fast


def _register(connection: Connection, tenant: UUID, url: str, event: str, concurrency: int | None) -> UUID:
    new = NewWebhook(tenant, url, url, [event], secret=_SECRET, concurrency=concurrency)
    return register(connection, new)[0]


def _await_fast(fast: UUID) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with transaction() as connection:
            if connection.execute(_OPEN, {"id": fast}).scalar_one() == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the fast endpoint's deliveries did not end within {_PATIENCE_SECONDS:.0f} s")
        time.sleep(0.2)


def _trial(ports: dict[str, int], others: Sequence[str], args: argparse.Namespace) -> Result:
    with redis.Redis.from_url(str(get_settings().broker_url)) as broker, transaction() as connection:
        broker.flushall()
        connection.execute(_CLEAR)
    fast = _fill(ports, others, args)
    with _process("cli", "worker", "-p", str(args.processes), "-t", str(args.threads)):
        _await_fast(fast)
        with transaction() as connection:
            rate, latency = connection.execute(_RATE, {"id": fast}).one()
            tried = connection.execute(_TRIED, {"id": fast}).scalar_one()
    return Result(others, float(rate), float(latency), int(tried))


def _measure(args: argparse.Namespace) -> Iterator[Result]:
    ports = {"fast": _free_port(), "refuses": _free_port()}
    ports["never answers"] = ports["fast"]
    dead = '{"name": "dead", "delay": 3600}'
    words = ("sandbox.webhook_receiver", "--port", str(ports["fast"]), "--secret", _SECRET, "--endpoint", dead)
    with _process(*words) as receiver:
        if receiver.stdout is None or not receiver.stdout.readline():
            raise RuntimeError("the receiver did not start")
        for number in args.trials:
            yield _trial(ports, _TRIALS[number], args)


def _print(result: Result, alone: float) -> None:
    beside = "alone" if not result.others else f"beside one that {' and one that '.join(result.others)}"
    share = "" if not result.others else f", {result.rate / alone:.0%} of alone; attempts at the others: {result.tried}"
    print(f"{beside}: {result.rate:.0f} deliveries/s, median answer {result.latency:.1f} ms{share}", flush=True)


def main() -> None:
    """Run the measurement."""
    args, results = _arguments(), list[Result]()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder, EmbeddedServers(Path(folder)) as servers:
        endpoints = servers.start()
        upgrade(endpoints.database_url)
        _point_at(endpoints, Path(folder) / "home")
        for result in _measure(args):
            results.append(result)
            _print(result, results[0].rate)
        dispose()
    raise SystemExit(1 if min(result.rate for result in results) < LEAST_RATE else 0)


if __name__ == "__main__":
    main()
