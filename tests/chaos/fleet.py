"""Real worker and scheduler processes on the test's own database and broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT = Path(__file__).parent.parent.parent
_WORKER = (
    "from callboard.settings import get_settings; from callboard.worker import run_worker; run_worker(get_settings())"
)
_SCHEDULER = "from callboard.settings import get_settings; from scheduler import run; run(get_settings())"


class Fleet:
    """Starts, kills and stops processes; `stop` ends them all."""

    def __init__(self, database_url: str, broker_url: str, folder: Path, **settings: object) -> None:
        self.log = folder / "effects.log"
        self.output = folder / "output.log"
        self._engine = create_engine(database_url, poolclass=NullPool)
        self._env = os.environ | {
            "PYTHONPATH": str(_ROOT),
            "CALLBOARD_DATABASE_URL": database_url,
            "CALLBOARD_BROKER_URL": broker_url,
            "CALLBOARD_ACTORS": "tests.chaos.jobs",
            "CALLBOARD_HOME": str(folder),
            "CHAOS_LOG": str(self.log),
            **{f"CALLBOARD_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What the processes see, for one that the test itself wants to be."""
        return dict(self._env)

    def worker(self, queues: str = "") -> subprocess.Popen[bytes]:
        """A worker process, of these queues or of all; it is ready when `board.workers` has its row."""
        return self.start([sys.executable, "-c", _WORKER], {"CALLBOARD_QUEUES": queues} if queues else {})

    def scheduler(self) -> subprocess.Popen[bytes]:
        """A scheduler process."""
        return self._start(_SCHEDULER)

    def start(self, argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Any command with the environment of the fleet, `env` added."""
        with self.output.open("ab") as output:
            process = subprocess.Popen(argv, env=self._env | dict(env), stdout=output, stderr=output)
        self.processes.append(process)
        return process

    def _start(self, code: str) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-c", code], {})

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL: no goodbye."""
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        self.processes.remove(process)

    def stop(self, timeout: float = 15) -> list[int]:
        """SIGTERM to all, and their exit codes."""
        for process in self.processes:
            process.terminate()
        codes = [process.wait(timeout) for process in self.processes]
        self.processes.clear()
        return codes

    def effects(self, kind: str) -> list[list[str]]:
        """The lines that jobs of this kind wrote: `[time, kind, ...]`."""
        if not self.log.exists():
            return []
        lines = (line.split() for line in self.log.read_text().splitlines())
        return [words for words in lines if words[1] == kind]

    def query(self, sql: str, **given: object) -> Sequence[Any]:
        """Rows of a query on the ledger."""
        with self._engine.begin() as connection:
            return connection.execute(text(sql), given).all()
