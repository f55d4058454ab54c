"""One case's stage: servers of its own behind proxies, processes on them, and the accounts that are held together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psutil  # type: ignore[import-untyped] # ships no types
import redis

from callboard.embedded import EmbeddedServers
from callboard.ledger import migrate
from tests.chaos.fleet import Fleet
from tests.chaos.proxy import Proxy
from tests.chaos.tally import ENDED, Effect, Row, Tally, judge
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.broker import Depth

QUEUES = ("fault", "limits", "elsewhere")
# How long everything may take to end once a fault is over, in seconds.
HEALING = 30.0
_ROOT = Path(__file__).parent.parent.parent
_OPEN = f"select count(*) from board.runs where state not in {ENDED}"
_ROWS = """
select id::text, job, state, attempt, crashes,
       (select count(*) from jsonb_array_elements(coalesce(history, '[]')) h where h ->> 'event' = 'interrupted'),
       (select count(*) from board.dead_letters d where d.run_id = r.id)
from board.runs r
"""
_ALIVE = "select count(*) from board.workers where state = 'alive' and lease_until > now()"


def through(url: str, proxy: Proxy) -> str:
    """The URL of a broker, with the proxy in the place of the server."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}".removeprefix("@")))


def socket_path(database_url: str) -> str:
    """The unix socket of a Postgres whose URL names a folder."""
    given = parse_qs(urlsplit(database_url).query)
    return str(Path(given["host"][0]) / f".s.PGSQL.{given['port'][0]}")


def database_through(url: str, proxy: Proxy) -> str:
    """The URL of a Postgres, with the proxy in the place of its socket."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{proxy.port}", query="sslmode=disable"))


class Stage:
    """Servers, proxies, processes and logs of one case; a context manager that leaves nothing behind."""

    def __init__(self, folder: Path, settings: Mapping[str, object], *, seed: int = 0) -> None:
        self.folder = folder
        self.seed = seed
        self.sent_log = folder / "sent.log"
        # A canary would be a run that nobody sent.
        self._settings = {"actors": "tests.chaos.fault_jobs", "canary_seconds": 0, **settings}
        self._resources = ExitStack()
        self._producers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._resources.close()
            raise
        return self

    def _open(self) -> None:
        enter = self._resources.enter_context
        self.servers = enter(EmbeddedServers(self.folder / "servers", broker_port=0))
        endpoints = self.servers.start()
        self.direct_broker, self.direct_database = endpoints.broker_url, endpoints.database_url
        migrate.upgrade(self.direct_database)
        self.broker = enter(Proxy(("127.0.0.1", urlsplit(self.direct_broker).port or 0), seed=self.seed))
        self.database = enter(Proxy(socket_path(self.direct_database), seed=self.seed))
        self.client: redis.Redis = enter(closing(redis.Redis.from_url(self.direct_broker)))
        self.fleet = Fleet(
            database_through(self.direct_database, self.database),
            through(self.direct_broker, self.broker),
            self.folder,
            **self._settings,
        )
        self._resources.callback(self._end)

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _end(self) -> None:
        self.broker.heal(deliver=False)
        self.database.heal(deliver=False)
        for process in (*self._producers, *self.fleet.processes):
            for each in _with_children(process.pid):
                _signal(each, signal.SIGKILL)
            process.wait(10)
        self.fleet.processes.clear()

    # -- processes

    def worker(
        self, processes: int = 1, threads: int = 8, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """`callboard worker`, ready or not; more than one process is a supervisor with children."""
        return self._command("worker", "-p", str(processes), "-t", str(threads), env=env)

    def worker_process(self) -> subprocess.Popen[bytes]:
        """One worker process that nobody supervises or starts again."""
        return self._command("worker-process")

    def scheduler(self, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """`callboard scheduler`: the reaper of the ledger and the reconciler live there."""
        return self._command("scheduler", env=env)

    def _command(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        return self.fleet.start([sys.executable, "-m", "cli", *words], env or {})

    def workers(self, count: int, *, threads: int = 8) -> list[subprocess.Popen[bytes]]:
        """So many single worker processes and a scheduler, all of them ready."""
        self.scheduler()
        started = [self.worker(threads=threads) for _ in range(count)]
        self.await_workers(count)
        return started

    def await_workers(self, count: int) -> None:
        """Return when so many worker processes are alive in the ledger."""
        eventually(lambda: self.fleet.query(_ALIVE)[0][0] == count, 60, every=0.1, what=f"{count} workers alive")

    def send(
        self,
        job: str,
        count: int,
        *,
        wait: bool = True,
        log: str = "sent.log",
        env: Mapping[str, str] | None = None,
        **load: Any,  # noqa: ANN401 - see the producer
    ) -> subprocess.Popen[bytes]:
        """Send from a process of its own; `load` is the rest of what `tests.chaos.producer` takes.

        What is written to another log than `sent.log` is not counted: far-off delays, that shall not run.
        """
        words = [sys.executable, "-m", "tests.chaos.producer", json.dumps([{"job": job, "count": count, **load}])]
        given = self.fleet.environment | {"CHAOS_SENT": str(self.folder / log)} | dict(env or {})
        with self.fleet.output.open("ab") as output:
            process = subprocess.Popen(words, env=given, stdout=output, stderr=output, cwd=_ROOT)
        self._producers.append(process)
        if wait:
            self.await_sent()
        return process

    def await_sent(self, timeout: float = 120) -> None:
        """Return when every producer has ended."""
        for process in self._producers:
            code = process.wait(timeout)
            if code != 0:
                raise AssertionError(f"a producer ended with {code}: see {self.fleet.output}")
        self._producers.clear()

    def stop(self, process: subprocess.Popen[bytes], timeout: float = 60) -> float:
        """SIGTERM; the seconds until the process has ended."""
        began = time.monotonic()
        process.terminate()
        process.wait(timeout)
        self.fleet.processes.remove(process)
        return time.monotonic() - began

    # -- servers

    def _server(self, name: str) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = getattr(self.servers, name)._process._process
        return process

    @property
    def valkey(self) -> subprocess.Popen[bytes]:
        """The server process of the broker."""
        return self._server("_valkey")

    @property
    def postgres(self) -> subprocess.Popen[bytes]:
        """The first of the ledger's server processes."""
        return self._server("_postgres")

    def restart_servers(self) -> None:
        """Start again whichever server does not run, at its old address."""
        self.servers.start()

    def append_only_files(self) -> list[Path]:
        """The files that the broker would load; the last one is appended to."""
        return sorted((self.folder / "servers" / "valkey" / "appendonlydir").glob("*.incr.aof"))

    def freeze_postgres(self, number: signal.Signals) -> None:
        """Send SIGSTOP or SIGCONT to every process of the ledger's server."""
        for process in _with_children(self.postgres.pid):
            _signal(process, number)

    # -- accounts

    def effects(self) -> list[Effect]:
        """What the jobs wrote, oldest first."""
        if not self.fleet.log.exists():
            return []
        lines = (line.split() for line in self.fleet.log.read_text().splitlines())
        return [Effect(float(w[0]), w[1], w[2], w[3], int(w[4]), int(w[5])) for w in lines]

    def starts(self, job: str = "") -> list[Effect]:
        """The starts of one job, or of all."""
        return [effect for effect in self.effects() if effect.what == "S" and job in ("", effect.job)]

    def sent(self, answer: str) -> dict[str, float]:
        """Runs whose last send was `ok` or `refused`, and when; a refused one that was sent again is not refused."""
        last: dict[str, tuple[str, float]] = {}
        for line in self.sent_log.read_text().splitlines() if self.sent_log.exists() else ():
            seconds, what, _, run, _ = line.split()
            last[run] = (what, float(seconds))
        return {run: seconds for run, (what, seconds) in last.items() if what == answer}

    def rows(self) -> list[Row]:
        """Every run of the ledger."""
        return [Row(*row) for row in self.fleet_query(_ROWS)]

    def fleet_query(self, sql: str, **given: object) -> Any:  # noqa: ANN401 - rows
        """Rows of a query on the ledger, past the proxy."""
        return self.fleet.query(sql, **given)

    def in_broker(self) -> int:
        """Messages of ours that are still there: ready, claimed or delayed."""
        return sum(depth.ready + depth.claimed + depth.delayed for depth in self._depths())

    def claimed(self) -> int:
        """Messages in the hands of workers."""
        return sum(depth.claimed for depth in self._depths())

    def _depths(self) -> list[Depth]:
        from callboard.compose import make_broker

        broker = make_broker(self.direct_broker, namespace="callboard")
        try:
            return list(broker.depths(QUEUES).values())
        finally:
            broker.close()

    def settle(self, *, timeout: float = HEALING, far: int = 0) -> float:
        """Wait until all that was acknowledged has ended and the broker is empty but for `far` messages.

        Returns:
            The seconds it took; no error when they run out, since `tally` counts what is left.
        """
        began = time.monotonic()
        while time.monotonic() - began < timeout:
            if self._ended() and self.in_broker() <= far:
                break
            time.sleep(0.1)
        return time.monotonic() - began

    def _ended(self) -> bool:
        ended = f"select count(*) from board.runs where state in {ENDED}"
        if self.fleet_query(_OPEN)[0][0]:
            return False
        return bool(self.fleet_query(ended)[0][0] >= len(self.sent("ok")))

    def tally(self, *, far: int = 0) -> Tally:
        """Count; `far` messages are meant to be in the broker still."""
        left = max(0, self.in_broker() - far)
        return judge(self.sent("ok"), self.sent("refused"), self.rows(), self.effects(), left)


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return
