"""`/metrics` of a supervisor: what its worker processes count, and what it sees of them itself.

The workers keep their values in files of a private folder in memory, made anew by each supervisor. When a process has
ended, its counts are taken over here and its files deleted, so that counters never fall while the supervisor lives.
What runs right now is read off the status pages when Prometheus asks. All of this may fail: the workers work on.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from callboard.children import Children
    from callboard.supervisor.plan import Plan
    from callboard.supervisor.workforce import Workforce
    from observability.multiprocess import ProcessesCollector
    from observability.server import MetricsServer

_log = PlainLog(__name__)
_PREFIX = "callboard-metrics-"
_SWEEP_SECONDS, _LISTEN_SECONDS = 1.0, 5.0
#: A supervisor whose loop has not gone round for so long is not well.
_STUCK_SECONDS = 10.0
_OTHER = "_other"


class WorkerMetrics:
    """The folder, and the server on it.

    Args:
        plan: Where to listen, and where the libraries are.
        children: Whose processes are counted.

    Attributes:
        env: Variables that every worker process needs before its Python starts.
    """

    def __init__(self, plan: Plan, children: Children) -> None:
        self._plan = plan
        self._children = children
        self._folder = _private_folder()
        self._collector: ProcessesCollector | None = None
        self._server: MetricsServer | None = None
        self._workforce: Workforce | None = None
        self._next_sweep = self._next_try = 0.0
        self._tended = time.monotonic()
        self._told = ""
        self._seen: set[tuple[str, str]] = set()
        self.env = {"PROMETHEUS_MULTIPROC_DIR": str(self._folder), "PROMETHEUS_DISABLE_CREATED_SERIES": "true"}

    def watch(self, workforce: Workforce) -> None:
        """Show these workers from now on."""
        self._workforce = workforce

    def tend(self) -> None:
        """Take over from the dead, and listen as soon as the port is free; call it a few times a second."""
        now = self._tended = time.monotonic()
        if self._server is None and now >= self._next_try:
            self._next_try = now + _LISTEN_SECONDS
            self._try(self._serve)
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP_SECONDS
            self._try(self._sweep)

    def close(self) -> None:
        """Stop to listen, and remove the folder; again is harmless."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """Where it listens; empty if it does not."""
        return "" if self._server is None else f"{self._server.url}/metrics"

    def _try(self, act: Callable[[], None]) -> None:
        """Metrics may fail, the workers may not: what goes wrong is told once."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - as said
            if str(error) != self._told:
                _log.warning("metrics.not_served", error=str(error))
            self._told = str(error)

    def _serve(self) -> None:
        sys.path.extend(path for path in self._plan.packages if path not in sys.path)
        from prometheus_client import CollectorRegistry  # noqa: PLC0415 - a bare supervisor finds it only now

        from observability.multiprocess import ProcessesCollector  # noqa: PLC0415 - the same
        from observability.server import MetricsServer  # noqa: PLC0415 - the same

        registry = CollectorRegistry()
        self._collector = self._collector or ProcessesCollector(self._folder, self._own)
        registry.register(self._collector)
        server = MetricsServer(
            registry,
            host=self._plan.metrics_host,
            port=self._plan.metrics_port,
            healthy=self._healthy,
            ready=self._ready,
        )
        server.start()
        self._server = server
        _log.info("metrics.served", url=self.url)

    def _healthy(self) -> str | None:
        still = time.monotonic() - self._tended
        return None if still < _STUCK_SECONDS else f"the supervisor has not looked at its workers for {still:.0f} s"

    def _ready(self) -> str | None:
        working = self._workforce is not None and any(seat.working for seat in self._workforce.seats())
        return None if working else "no worker process takes messages yet"

    def _sweep(self) -> None:
        if self._collector is None:
            return
        living = {child.pid for child in self._children.states()}
        for pid in {pid for path in self._folder.iterdir() if (pid := _pid_in(path.name))} - living:
            self._collector.bury(pid)
        self._collector.settle()

    # What is known here

    def _own(self) -> Iterator[Metric]:
        from observability import families  # noqa: PLC0415 - as above

        seats = [] if self._workforce is None else self._workforce.seats()
        running = Counter(
            _names(seat.page.body(attempt)) for seat in seats for attempt in seat.page.running()
        )  # a page may change under our eyes: then one attempt is counted as of another job
        yield families.gauge("worker_threads", {(): sum(seat.page.threads for seat in seats)})
        yield families.gauge("worker_threads_busy", {(): running.total()})
        yield families.gauge("in_progress", self._within_budget(running))
        if seats:
            yield families.gauge("worker_start_time_seconds", {(): max(seat.launched_at for seat in seats)})
        restarts = {} if self._workforce is None else self._workforce.replaced
        yield families.counter("worker_restarts_total", {(reason,): count for reason, count in restarts.items()})
        plan = self._plan
        build = plan.version, plan.revision, platform.python_version(), plan.dramatiq
        yield families.gauge("worker_build_info", {build: 1})

    def _within_budget(self, running: Counter[tuple[str, str]]) -> dict[tuple[str, ...], float]:
        """By queue and job, those that ran before and do not now with 0; more of them than may be are one."""
        for names in running:
            if len(self._seen) < self._plan.metrics_most_actors:
                self._seen.add(names)
        values: dict[tuple[str, ...], float] = {names: running[names] for names in self._seen}
        others = running.total() - sum(values.values())
        return values | ({("", _OTHER): others} if others else {})


def _names(body: bytes) -> tuple[str, str]:
    """Queue and job of an encoded message; `_other` of one that was too long to be kept."""
    try:
        fields: Any = json.loads(body)
        return str(fields["queue_name"]), str(fields["actor_name"])
    except (ValueError, KeyError, TypeError):
        return "", _OTHER


def _pid_in(name: str) -> int:
    """Whose values it has; 0: nobody's."""
    kind, _, pid = name.partition(".")[0].rpartition("_")
    return int(pid) if pid.isdigit() and kind not in ("ask", "answer") else 0


def _private_folder() -> Path:
    """A folder in memory, where there is one, that no other user may read; those of killed supervisors go."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made there
    parent = shared if shared.is_dir() and os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
