"""The command line on the servers of the test session: in this process where that will do, in its own where not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dramatiq.broker
import pytest

from actors.sessions.settings import get_sessions_settings
from callboard import make_broker
from callboard.ledger import workers
from callboard.ledger.database import dispose, transaction
from callboard.settings import get_settings
from cli import execute
from tests.support import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent.parent
JOBS = "tests.integration.cli.board_jobs"


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


class Board:
    """Runs commands on a board of the test's own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.folder = folder

    def __call__(self, *argv: str) -> Answer:
        """Run one command line here, as a fresh process would: nothing is kept from the one before."""
        forget()
        self._capsys.readouterr()
        code = execute(argv)
        said = self._capsys.readouterr()
        return Answer(code, said.out, said.err)

    @staticmethod
    def start(*argv: str, **options: object) -> subprocess.Popen[str]:
        """Start `callboard <argv>` in a process of its own, with this test's variables."""
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return] # options of Popen
            [sys.executable, "-m", "cli", *argv],
            cwd=ROOT,
            env=os.environ.copy(),
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )


def forget() -> None:
    """Drop what a process keeps: settings, connections, and the broker with its jobs."""
    dispose()
    get_settings.cache_clear()
    get_sessions_settings.cache_clear()
    sys.modules.pop(JOBS, None)
    dramatiq.broker.global_broker = make_broker()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No variable of ours but a home folder; afterwards everything in this process is as it was."""
    for name in [name for name in os.environ if name.startswith("CALLBOARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")  # a test process without a terminal would be 80 wide
    monkeypatch.setenv("BOARD_JOBS_FOLDER", str(tmp_path))
    monkeypatch.setenv("CALLBOARD_ACTORS", JOBS)
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    yield tmp_path
    forget()


@pytest.fixture
def board(
    clean_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    postgres_url: str,
    broker_url: str,
    capsys: pytest.CaptureFixture[str],
) -> Board:
    """The command line on a fresh database and an empty broker."""
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", postgres_url)
    monkeypatch.setenv("CALLBOARD_BROKER_URL", broker_url)
    forget()  # settings that were read before these variables were there
    return Board(capsys, clean_environment)


@pytest.fixture
def worker(board: Board) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts one worker process; it is stopped after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        with (board.folder / "worker.log").open("ab") as log:
            started.append(board.start("worker-process", "--threads", "2", *options, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(15)


def state_of(run_id: str) -> str:
    """The state of a run, from the ledger."""
    from callboard.ledger import listing

    with transaction() as connection:
        return str(listing.run(connection, run_id)["state"])


@pytest.fixture
def service(board: Board) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a long-running command that logs to a file; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str) -> subprocess.Popen[str]:
        with (board.folder / "service.log").open("ab") as log:
            started.append(board.start(*argv, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def logged(board: Board, event: str) -> list[dict[str, object]]:
    """The lines of this event that the services have written."""
    lines = (board.folder / "service.log").read_text().splitlines()
    return [json.loads(line) for line in lines if f'"{event}"' in line]


def registered() -> set[int]:
    """The processes that the ledger takes for living workers."""
    with transaction() as connection:
        return {row["pid"] for row in workers.listing(connection)}


def living(count: int) -> set[int]:
    """Process numbers of the workers, once `count` of them live."""

    def found() -> set[int]:
        pids = {pid for pid in registered() if alive(pid)}
        assert len(pids) == count, pids
        return pids

    return eventually(found, 30, what=f"{count} living workers")


def stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    """Ask a service to stop; its exit code."""
    process.send_signal(how)
    return process.wait(12)
