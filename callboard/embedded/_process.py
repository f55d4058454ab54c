"""One server program as a child process: launched, awaited, stopped; and what an earlier owner left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from callboard.embedded._errors import EmbeddedError
from callboard.tether import tether

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_POLL_SECONDS = 0.01
_READY_SECONDS = 60.0  # a recovery after a crash replays the log first
_LAST_CHANCE_SECONDS = 0.5
_LAST_WORDS = 2000


class ServerProcess:
    """A server that runs in `folder` and writes to `log`; it gets the stop signals in turn until it ends."""

    def __init__(self, name: str, folder: Path, log: Path, stop_signals: Sequence[signal.Signals]) -> None:
        self.name = name
        self._folder = folder
        self._log = log
        self._stop_signals = tuple(stop_signals)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether our child lives; one whose last threads are still ending does not."""
        if self._process is None or self._process.poll() is not None:
            return False
        if _is_zombie(self._process.pid):
            self._process.wait()
            return False
        return True

    def launch(self, argv: Sequence[str], *, drop: str, stdin: bytes = b"") -> None:
        """Start the program with `stdin` on its standard input; the log of the start before is kept as `.1`."""
        if self._log.exists():
            self._log.replace(self._log.with_name(f"{self._log.name}.1"))
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (a packaged program)
                tether(argv, death_signal=self._stop_signals[0], drop=drop),
                cwd=self._folder,
                env=server_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _feed(self._process, stdin)

    def await_ready(self, ready: Callable[[], bool]) -> None:
        """Return when `ready()`.

        Raises:
            EmbeddedError: The server ended, or was not ready within a minute; with the last lines of its log.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if not self.running:
                raise EmbeddedError(f"the embedded {self.name} ended while starting. {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"the embedded {self.name} is not ready after 60 s. {self._last_words()}")
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Send the first stop signal and return at once."""
        if self._process is not None and self.running:
            self._process.send_signal(self._stop_signals[0])

    def await_end(self, timeout: float) -> None:
        """Return when the server, asked to stop, has ended: by force once `timeout` seconds are over."""
        if self._process is None:
            return
        patience = timeout - _LAST_CHANCE_SECONDS * (len(self._stop_signals) - 1)
        for harder in (*self._stop_signals[1:], signal.SIGKILL):
            try:
                self._process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                self._process.send_signal(harder)
                patience = _LAST_CHANCE_SECONDS
        self._process.wait()
        self._process = None

    def _last_words(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip() if self._log.exists() else ""
        return f"{self._log} says:\n{text[-_LAST_WORDS:]}"


def _is_zombie(pid: int) -> bool:
    """True for a killed child whose main thread has ended and other threads not yet: it cannot be reaped so far."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 (we asked for a pipe)
    try:
        with process.stdin as pipe:
            pipe.write(content)
    except BrokenPipeError:
        return  # it ended already: `await_ready` tells why


def server_environment() -> dict[str, str]:
    """Our environment without the variables that would redirect a Postgres, and with messages in English."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def stop_leftovers(folder: Path, program: str, stop_signals: Sequence[signal.Signals], timeout: float) -> int:
    """Stop every `program` that works in `folder`, and return how many there were.

    A server works in its data folder, which tells it apart from any other, and from a stranger who has inherited the
    number in a stale pid file. Only the processes at the top are asked: a Postgres looks after its own children. In the
    end all are killed, since the children of a dead Postgres may hang.

    Raises:
        EmbeddedError: Some survived even SIGKILL.
    """
    found = len(_workers_in(folder, program))
    for stop_signal in (*stop_signals, signal.SIGKILL):
        workers = _workers_in(folder, program)
        _signal([pid for pid in workers if workers[pid] not in workers or stop_signal == signal.SIGKILL], stop_signal)
        if _gone(folder, program, timeout / len(stop_signals)):
            return found
    raise EmbeddedError(f"a left-over {program} in {folder} does not end: stop it by hand, or take another folder.")


def _gone(folder: Path, program: str, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while _workers_in(folder, program):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # ended meanwhile, which is what we want


def _workers_in(folder: Path, program: str) -> dict[int, int]:
    """Process ids and their parents' of every `program` working in `folder`; processes hidden from us are not ours."""
    import psutil  # type: ignore[import-untyped] # noqa: PLC0415 (untyped; absent where no server is embedded)

    found: dict[int, int] = {}
    for process in psutil.process_iter():
        try:
            if process.name() == program and process.cwd() == str(folder):
                found[process.pid] = process.ppid()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
