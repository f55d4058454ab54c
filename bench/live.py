"""What live listeners cost: `python -m bench.live [--listeners 200] [--rate 500] [--seconds 300]`.

Starts an embedded Postgres and Valkey in a temporary folder, `callboard console` and `callboard worker` as processes of
their own, and sends jobs at an even rate, one in a hundred of which fails. The listeners are one more process, signed
in as 20 people. Prints how many listeners were lost, what each heard, what the console spent meanwhile, and what it
still holds after they have gone. Exits 1 when a listener was lost, something leaked, or a bound was passed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import psutil  # type: ignore[import-untyped]  # ships no types
from dramatiq import Message
from sqlalchemy import text

from callboard.accounts import sign_in
from callboard.compose import make_broker
from callboard.embedded import EmbeddedServers, Endpoints
from callboard.ledger.database import dispose, transaction
from callboard.ledger.migrate import upgrade
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.broker.transport import Transport

T = TypeVar("T")

MOST_CPU = 0.10
#: Of `jobs_changed`, while runs end all the time: throttle, round of the heart, and a busy machine.
MOST_PAUSE_SECONDS = 5.0
_PEOPLE = 20
_POOL = 22
_TICK_SECONDS = 0.02
_PATIENCE_SECONDS = 30.0
_USER = text("insert into board.users (id, email, role) values (:id, :email, 'admin')")
_ENDED = text("select count(*) from board.runs where state in ('completed', 'failed') and job = 'live_noop'")


@dataclass(frozen=True)
class Holding:
    """What a process holds: connections of TCP, open files, threads, bytes of resident memory.

    The files grow with the pool of connections to Postgres, 22 at most.
    """

    sockets: int
    fds: int
    threads: int
    memory: int

    @classmethod
    def of(cls, process: psutil.Process) -> Holding:
        """What it holds now."""
        sockets = sum(bool(one.raddr) for one in process.net_connections("tcp"))
        return cls(sockets, process.num_fds(), process.num_threads(), process.memory_info().rss)

    def __str__(self) -> str:
        return f"{self.sockets} connections, {self.fds} files, {self.threads} threads, {self.memory / 1e6:.1f} MB"


@dataclass(frozen=True)
class Outcome:
    """What was measured."""

    heard: list[dict[str, Any]]
    seconds: float
    cpu: float
    runs: int
    before: Holding
    during: Holding
    after: Holding

    @property
    def lost(self) -> list[str]:
        """Why listeners were lost."""
        return [one["lost"] for one in self.heard if one["lost"]]

    def faults(self) -> list[str]:
        """What is not as it should be."""
        pauses = max(one["longest_pause"] for one in self.heard)
        found = [f"lost: {why}" for why in self.lost]
        if min(one["of_jobs"] for one in self.heard) == 0:
            found.append("a listener heard nothing")
        if pauses > MOST_PAUSE_SECONDS:
            found.append(f"a listener heard nothing for {pauses:.1f} s")
        if self.after.sockets > self.before.sockets:
            found.append(f"{self.after.sockets - self.before.sockets} connections were left open")
        if self.after.fds > self.before.fds + _POOL:
            found.append(f"{self.after.fds - self.before.fds} files were left open")
        if self.cpu > MOST_CPU:
            found.append(f"the console took {self.cpu:.1%} of one core, more than {MOST_CPU:.0%}")
        return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--rate", type=int, default=500, help="runs a second")
    parser.add_argument("--seconds", type=float, default=300)
    return parser.parse_args()


@contextmanager
def _process(words: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:  # noqa: ANN401 - Popen's options
    process = subprocess.Popen([sys.executable, "-m", *words], text=True, **options)  # noqa: S603 - our own
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _until(check: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - what the check gives
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (answer := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE_SECONDS} s")
        time.sleep(0.05)
    return answer


def _sessions() -> list[str]:
    made = []
    for number in range(_PEOPLE):
        user_id = uuid4()
        with transaction() as connection:
            connection.execute(_USER, {"id": user_id, "email": f"listener{number}@example.org"})
        made.append(sign_in.with_link(sign_in.make_link(user_id), ip=None, agent="bench").token)
    return made


def _send(broker: Transport, rate: int, seconds: float) -> float:
    """Jobs at an even rate; the seconds that it took."""
    began, sent = time.monotonic(), 0
    while (gone := time.monotonic() - began) < seconds:
        due = int(gone * rate)
        if due > sent:
            broker.enqueue_many(Message("live", "live_noop", (), {"number": n}, {}) for n in range(sent, due))
            sent = due
        time.sleep(_TICK_SECONDS)
    return time.monotonic() - began


def _cpu_seconds(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def _measure(url: str, console: psutil.Process, args: argparse.Namespace) -> Outcome:
    place = urlsplit(url)
    orders = {"host": place.hostname, "port": place.port, "cookie": "callboard", "sessions": _sessions()}
    orders["listeners"] = args.listeners
    broker = make_broker(get_settings().broker_url)
    _listening(orders, lambda: None)  # so that the connections to Postgres that stay are there before
    before = _settled(console)

    def busily() -> tuple[float, float, Holding]:
        spent = _cpu_seconds(console)
        seconds = _send(broker, args.rate, args.seconds)
        return seconds, (_cpu_seconds(console) - spent) / seconds, Holding.of(console)

    heard, (seconds, cpu, during) = _listening(orders, busily)
    broker.close()
    after = _settled(console, before)
    with transaction() as connection:
        runs = connection.execute(_ENDED).scalar_one()
    return Outcome(heard, seconds, cpu, runs, before, during, after)


def _listening(orders: dict[str, Any], act: Callable[[], T]) -> tuple[list[dict[str, Any]], T]:
    """Do it while all listen; what they heard, and what came of it."""
    with _process(["bench.live_ears"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ears:
        if ears.stdin is None or ears.stdout is None:
            raise RuntimeError("the listeners have no pipes")
        ears.stdin.write(json.dumps(orders) + "\n")
        ears.stdin.flush()
        if ears.stdout.readline() != "ready\n":
            raise RuntimeError("the listeners did not connect")
        came = act()
        return json.loads(ears.communicate("enough\n")[0]), came


def _settled(console: psutil.Process, before: Holding | None = None) -> Holding:
    """What is held once the console has noticed that they have gone; it is given a moment for it."""
    deadline, now = time.monotonic() + _PATIENCE_SECONDS, Holding.of(console)
    while time.monotonic() < deadline and (before is None or now.sockets > before.sockets):
        time.sleep(0.2)
        last, now = now, Holding.of(console)
        if before is None and last.sockets == now.sockets:
            break
    return now


def _point_at(endpoints: Endpoints, home: Path) -> None:
    given = {
        "HOME": str(home),
        "DATABASE_URL": endpoints.database_url,
        "BROKER_URL": endpoints.broker_url,
        "ACTORS": "bench.live_jobs",
        "CONSOLE_PORT": "0",
        "WORKER_METRICS_PORT": "0",
        "LOG_LEVEL": "error",
    }
    os.environ.update({f"CALLBOARD_{name}": value for name, value in given.items()})
    get_settings.cache_clear()


def measure(args: argparse.Namespace) -> Outcome:
    """Run it on the servers that the settings name."""
    place = get_settings().home / "console.url"
    with _process(["cli", "console"]) as console, _process(["cli", "worker"]):
        url = _until(lambda: place.is_file() and place.read_text(encoding="utf-8"), "the console")
        return _measure(url, psutil.Process(console.pid), args)


def _print(outcome: Outcome) -> None:
    events = [one["events"] for one in outcome.heard]
    pauses = [one["longest_pause"] for one in outcome.heard]
    print(f"{len(outcome.heard)} listeners for {outcome.seconds:.0f} s at {outcome.runs / outcome.seconds:.0f} runs/s")
    print(f"lost: {len(outcome.lost)}; events each: {min(events)} to {max(events)}, median {statistics.median(events)}")
    print(f"longest pause between two jobs_changed: {max(pauses):.2f} s, median {statistics.median(pauses):.2f} s")
    print(f"CPU of the console: {100 * outcome.cpu:.1f} % of one core")
    print(f"held before: {outcome.before}\n     during: {outcome.during}\n     after:  {outcome.after}")
    print("\n".join(outcome.faults()) or "as it should be")


def main() -> None:
    """Run the measurement."""
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder, EmbeddedServers(Path(folder)) as servers:
        endpoints = servers.start()
        upgrade(endpoints.database_url)
        _point_at(endpoints, Path(folder) / "home")
        outcome = measure(args)
        dispose()
    _print(outcome)
    raise SystemExit(1 if outcome.faults() else 0)


if __name__ == "__main__":
    main()
