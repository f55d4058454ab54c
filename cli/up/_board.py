"""Everything that `callboard up` runs: started in order, stopped in the other."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from signal import Signals
from typing import TYPE_CHECKING

from callboard import get_broker
from callboard.children import Children
from callboard.ledger import migrate
from callboard.ledger.database import database_url, dispose
from callboard.ledger.seal import make_key_file
from callboard.loading import load_actors
from callboard.supervisor.command import make_plan
from callboard.supervisor.metrics import WorkerMetrics
from callboard.supervisor.workforce import Workforce
from cli._service import command
from cli._times import span
from cli.up._console import Console
from cli.up._ports import free_port
from cli.up._sandbox import Sandbox
from cli.up._servers import Servers
from observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from callboard.children import ChildState
    from callboard.settings import Settings

    Say = Callable[[str], None]

#: All of it must be gone within 10 s: the children get this long, then the embedded servers their 5 s.
_CHILDREN_SECONDS = 5.0
#: What running jobs get of that; `run_worker` takes 2 s more to interrupt those that need longer.
_GRACE_SECONDS = 2.5


class Board:
    """The servers, the children and what is worth telling of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notes: list[str] = []
        self.servers = Servers(settings)
        self.sandbox = Sandbox(settings)
        self.console = Console(settings)
        self.metrics_url = ""
        self.began = time.monotonic()
        self._children = Children()
        self._workforce: Workforce | None = None
        self._metrics: WorkerMetrics | None = None
        self._resources = ExitStack()

    @property
    def logs(self) -> Path:
        """Where the children write."""
        return self.settings.home / "logs"

    def start(self, say: Say) -> None:
        """Start everything; returns when the children are running, not yet when they are ready.

        Raises:
            CallboardError: A server cannot be started, or an actor module cannot be loaded.
        """
        self.console.require_safe()
        say(f"callboard: starting, everything is kept in {self.settings.home}")
        self.notes += self.servers.start()
        if not self.settings.secret_keys:
            make_key_file(self.settings.home)
        self._log_to_file()
        url = database_url(self.settings)
        if migrate.current(url) != migrate.head():
            say("callboard: migrating the database")
        migrate.upgrade(url)
        self.notes += self.sandbox.prepare()
        os.environ.update(self.sandbox.environment)
        load_actors(self.settings)
        self._spawn()
        for note in self.notes:
            say(f"callboard: {note}")

    def _log_to_file(self) -> None:
        """Our own log goes where the children's go: the screen belongs to people."""
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = self._resources.enter_context((self.logs / "up.log").open("a", encoding="utf-8"))
        logs.configure(format="json", level=self.settings.log_level, service="cli", stream=stream)

    def _spawn(self) -> None:
        host = self.settings.exporter_host
        port = self._port(host, "exporter_port")
        self.metrics_url = f"http://{host}:{port}/metrics"
        grace = min(self.settings.shutdown_grace_seconds, _GRACE_SECONDS)
        common = {"CALLBOARD_HOME": str(self.settings.home), "CALLBOARD_SHUTDOWN_GRACE_SECONDS": str(grace)}
        for each in self.sandbox.stand_ins:
            self._run(each.name, each.command, {})
        scheduler_port = self._port(self.settings.metrics_host, "scheduler_metrics_port")
        self._run("scheduler", command("scheduler"), common | {"CALLBOARD_SCHEDULER_METRICS_PORT": str(scheduler_port)})
        self._start_workers(common)
        self._run("exporter", command("exporter", "--port", str(port)), common)
        self._start_console(common)

    def _start_console(self, env: dict[str, str]) -> None:
        if self.console.missing:
            self.notes.append(f"no console: it needs {self.console.missing}; install 'callboard[console]'.")
            return
        self.console.port = self._port(self.settings.console_host, "console_port", "the console is")
        self._run("console", command("console"), env | self.console.environment())

    def _start_workers(self, env: dict[str, str]) -> None:
        ports = {"worker_metrics_port": self._port(self.settings.metrics_host, "worker_metrics_port")}
        plan = make_plan(self.settings.model_copy(update=ports), command("worker-process"))
        self._metrics = WorkerMetrics(plan, self._children) if plan.metrics else None
        self._workforce = Workforce(
            self._children,
            plan,
            env=env | (self._metrics.env if self._metrics else {}),
            log=lambda name: self.logs / f"{name.removesuffix('-old')}.log",
        )
        self._workforce.start()
        if self._metrics is not None:
            self._metrics.watch(self._workforce)

    def _port(self, host: str, setting: str, what: str = "these metrics are") -> int:
        """The port that a setting names, or a free one if that is taken, which people are told."""
        wanted: int = getattr(self.settings, setting)
        port = free_port(wanted, host)
        if wanted not in (port, 0):
            name = f"CALLBOARD_{setting.upper()}"
            self.notes.append(f"port {wanted} is taken: {what} on port {port} instead ({name}).")
        return port

    def _run(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        self._children.spawn(name, argv, env, log=self.logs / f"{name}.log")

    def tend(self) -> list[str]:
        """Bring back what has died; returns what happened, a line each. Call it a few times a second."""
        if self._metrics is not None:
            self._metrics.tend()
        ended = [
            f"{child.name} {_end(child.exit_code)} and is started again; see {self.logs / child.name}.log"
            for child in (self._workforce.tend() if self._workforce else [])
        ]
        return ended + self.servers.tend()

    def children(self) -> list[ChildState]:
        """The children as of the last `tend`, those that live on."""
        return [child for child in self._children.states() if not child.name.startswith("notary-")]

    def stop(self, say: Say) -> None:
        """Stop everything within 10 s; harmless if nothing was started, and again."""
        began, names = time.monotonic(), [child.name for child in self._children.states()]
        try:
            if names:
                _try_to(say, "callboard: stopping")
            killed = self._children.stop(_CHILDREN_SECONDS)
            if self._metrics is not None:
                self._metrics.close()
            if self._workforce is not None:
                self._workforce.close()
            get_broker().close()
            dispose()
        finally:
            self.servers.stop()
            self._resources.close()
        if names:
            kept = f"; had to be killed: {', '.join(killed)}" if killed else ""
            _try_to(say, f"callboard: stopped in {span(time.monotonic() - began)}{kept}. The data stay in "
                         f"{self.settings.home}.")  # fmt: skip


def _end(exit_code: int) -> str:
    """How a process ended: a negative exit code is the signal that killed it."""
    try:
        return f"ended with exit code {exit_code}" if exit_code >= 0 else f"was killed by {Signals(-exit_code).name}"
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-exit_code}"


def _try_to(say: Say, line: str) -> None:
    """Speak if somebody is there to hear: when the terminal was closed, stopping goes on without words."""
    try:
        say(line)
    except OSError:
        return
