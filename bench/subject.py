"""One peer in one trial: its driver, which sends jobs, and its worker processes, on servers just emptied."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil  # type: ignore[import-untyped] # ships no types

from bench import machine, venvs
from bench.entrants import OURS, SHARED
from bench.tally import Tally
from callboard.tether import tether

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from bench.entrants import Entrant
    from bench.servers import Servers

_ROOT = Path(__file__).parent.parent
_POLL_SECONDS = 0.01
_STUCK_SECONDS = 60.0
_STOP_SECONDS = 15.0
_QUIET_CORES = 0.15
_QUIET_SECONDS = 20.0
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER")


class TrialError(Exception):
    """A trial went wrong; the message ends with the last lines of the peer's log."""


class Subject:
    """Begins with an empty database and broker, and leaves no process and no file."""

    def __init__(self, entrant: Entrant, servers: Servers, queues: list[str], template: str = "template1") -> None:
        self.entrant = entrant
        self.queues = queues
        self.servers = servers
        self.database_url = servers.fresh(template)
        self._folder = Path(tempfile.mkdtemp(prefix=f"bench-{entrant.name}-"))
        self._log = self._folder / "log.txt"
        self.tally = Tally(self._folder / "counter")
        self._env = self._environment()
        self._workers: list[subprocess.Popen[bytes]] = []
        self.setting = ""
        self._driver = self._start([str(venvs.python_of(entrant)), str(entrant.path / "driver.py")], stdin=True)
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.facts = self.ask("install", queues=self.queues)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything that was started, and remove its files."""
        self.stop_workers()
        _end([self._driver])
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """Have the driver do something.

        Raises:
            TrialError: It could not, or it died.
        """
        assert self._driver.stdin is not None  # noqa: S101 - both are pipes, see _start
        assert self._driver.stdout is not None  # noqa: S101
        try:
            self._driver.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            self._driver.stdin.flush()
        except BrokenPipeError:
            raise self.error(f"the driver is gone before {do!r}") from None
        line = self._driver.stdout.readline()
        if not line:
            raise self.error(f"the driver died in {do!r}")
        answer = parse_answer(line)
        if "error" in answer:
            raise self.error(f"the driver failed in {do!r}: {answer['error']}")
        return answer

    def start_workers(self, case: str) -> None:
        """Start the worker processes the peer wants for this case."""
        plan = self.ask("workers", case=case, queues=self.queues)
        self.setting = plan["setting"]
        self._workers = [self._start(command, extra=plan["env"]) for command in plan["commands"]]

    def stop_workers(self) -> None:
        """Ask them to end, wait, and kill what is left."""
        _end(self._workers)
        self._workers = []

    @property
    def roots(self) -> list[int]:
        """The worker processes, without their children."""
        return [worker.pid for worker in self._workers]

    def usage(self) -> machine.Usage:
        """CPU used until now."""
        return machine.Usage.now(self.roots, self.servers.roots)

    def await_marks(self, count: int, *, patience: float = _STUCK_SECONDS) -> int:
        """Wait until so many jobs have begun; returns how many have.

        Raises:
            TrialError: None began for `patience` seconds, or all workers are gone.
        """
        seen, since = -1, time.monotonic()
        while (now := self.tally.count()) < count:
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                raise self.error(f"{now} of {count} jobs began, and none for {patience:.0f} s")
            time.sleep(_POLL_SECONDS)
        return now

    def warm_up(self) -> None:
        """One job for every queue, until they have run and nothing is busy starting any more."""
        count = len(self.queues)
        self.ask("enqueue", job="noop", first=-count, count=count, bulk=False, queues=self.queues)
        self.await_marks(count)
        deadline = time.monotonic() + _QUIET_SECONDS
        while self._cores(1.0) > _QUIET_CORES and time.monotonic() < deadline:
            pass

    def until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Whether it became true within so many seconds."""
        deadline = time.monotonic() + seconds
        while not (answer := true()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return answer

    def error(self, text: str) -> TrialError:
        """An error with the end of the log."""
        log = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return TrialError(f"{self.entrant.name}: {text}\n{log[-3000:]}")

    def _cores(self, seconds: float) -> float:
        before = machine.cpu_seconds(self.roots)
        time.sleep(seconds)
        return (machine.cpu_seconds(self.roots) - before) / seconds

    def _environment(self) -> dict[str, str]:
        folders = [SHARED, self.entrant.path, *([_ROOT] if self.entrant.name == OURS else [])]
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join(map(str, folders)),
            "BENCH_COUNTER": str(self.tally.path),
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_REDIS_URL": self.servers.redis_url,
            "BENCH_FOLDER": str(self._folder),
            "BENCH_QUEUES": ",".join(self.queues),
            **self.entrant.env,
        }

    def _start(
        self, command: list[str], *, stdin: bool = False, extra: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE if stdin else subprocess.DEVNULL
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - what the peer's driver said
                tether(command),
                cwd=self._folder,
                env=self._env | (extra or {}),
                stdin=pipe,
                stdout=pipe if stdin else log,
                stderr=log,
                start_new_session=True,
            )


def parse_answer(line: bytes) -> dict[str, Any]:
    """One line of the driver.

    Raises:
        TrialError: It is not a JSON object.
    """
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise TrialError(f"the driver answered {line!r}, which is not a JSON object")
    return answer


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """SIGTERM to the roots, which see to their children; after a while SIGKILL to whatever of them is left."""
    family = machine.tree(process.pid for process in processes)
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    _, left = psutil.wait_procs(family, timeout=1.0)
    for process in left:
        process.kill()
