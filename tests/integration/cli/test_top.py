"""`callboard top` on real servers: one screen, one object, and the live screen on a terminal of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any

import pytest

from callboard.ledger import issues, workers
from callboard.ledger.database import transaction
from callboard.ledger.issues import Sighting
from cli.top._watch import once
from tests.integration.cli.conftest import ROOT
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.cli.conftest import Answer, Board

    Start = Callable[..., subprocess.Popen[str]]

CLOSED = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks of `--once` and `--json` are a second apart; here a tenth of it."""
    monkeypatch.setattr(once, "__defaults__", (0.1,))


def told(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.out)
    return found


def named(rows: list[dict[str, Any]], key: str, name: str) -> dict[str, Any]:
    return next(row for row in rows if row[key] == name)


def test_without_workers_what_waits_is_urgent_and_the_exit_code_says_so(board: Board) -> None:
    board("trigger", "quick")
    board("trigger", "broken")
    answer = board("top", "--json")
    found = told(answer)
    assert (answer.code, found["healthy"]) == (1, False)
    texts = [problem["text"] for problem in found["problems"]]
    assert texts[0] == "no worker is alive"
    assert "no worker takes queue fast, 2 wait" in texts
    queue = named(found["queues"], "queue", "fast")
    assert (queue["ready"], queue["delayed"], queue["workers"], queue["paused"]) == (2, 0, 0, False)
    assert queue["oldest_seconds"] > 0
    assert queue["promise_seconds"] == 300
    assert found["moment"].endswith("Z")


def test_a_board_at_work_is_healthy_and_its_numbers_are_the_ledgers(board: Board, worker: Start) -> None:
    worker()
    eventually(lambda: told(board("top", "--json"))["workers"], 30, what="a worker")
    board("trigger", "quick", "--wait")
    board("trigger", "broken", "--wait")

    def numbers() -> bool:
        found = told(board("top", "--json"))
        quick, broken = (named(found["jobs"], "job", name) for name in ("quick", "broken"))
        assert (quick["attempts"], quick["failed"], quick["dead"]) == (1, 0, 0)
        assert (broken["attempts"], broken["failed"], broken["dead"]) == (1, 1, 1)
        assert named(found["queues"], "queue", "fast")["workers"] == 1
        assert [one["threads"] for one in found["workers"]] == [2]
        assert "1 dead letter waits" in [problem["text"] for problem in found["problems"]]
        return True

    eventually(numbers, what="the numbers of two ended runs")
    board("trigger", "long")

    def running() -> bool:
        (run,) = told(board("top", "--json"))["runs"]
        assert (run["job"], run["attempt"]) == ("long", 1)
        progress = run["progress"]
        return bool(progress and progress["processed"] > 1 and run["seconds"] > 0)

    eventually(running, 20, what="the run's progress")
    (board.folder / "enough").touch()


def test_with_worker_and_scheduler_nothing_is_urgent(board: Board, worker: Start, service: Start) -> None:
    worker()
    service("scheduler")

    def well() -> Answer:
        answer = board("top", "--once")
        assert answer.code == 0, answer.out
        assert "scheduler leading" in answer.out.splitlines()[0]
        return answer

    answer = eventually(well, 30, what="a healthy board")
    assert "0/2 threads busy" in answer.out
    for title in ("1 queues", "2 jobs", "3 running", "4 schedules", "5 workers"):
        assert title in answer.out
    assert "q: quit" not in answer.out


def test_a_paused_queue_is_said_with_the_command_that_resumes_it(board: Board) -> None:
    board("queues", "pause", "slow")
    out = board("top", "--once").out
    assert re.search(r"^! +queue slow is paused, 0 wait +callboard queues resume slow$", out, re.MULTILINE)
    assert re.search(r"^slow .* paused", out, re.MULTILINE)


def test_a_critical_issue_is_never_well(board: Board) -> None:
    with transaction() as connection:
        issues.sight(connection, "dependency_unavailable", [Sighting("mail", "critical", "mail is away")])
    (said,) = (each for each in json.loads(board("top", "--json").out)["problems"] if "critical" in each["text"])
    assert said == {
        "urgent": False,
        "text": "1 critical issue is open",
        "command": "callboard issues list severity:critical",
    }
    assert "mail is away" in board(*said["command"].split()[1:]).out


def test_without_postgres_the_brokers_half_is_shown(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board("trigger", "quick")
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", f"postgresql://nobody@{CLOSED}/none")
    answer = board("top", "--json")
    found = told(answer)
    assert answer.code == 5
    assert list(found["down"]) == ["postgres"]
    assert "Postgres cannot be reached" in found["down"]["postgres"]
    queue = named(found["queues"], "queue", "fast")
    assert (queue["ready"], queue["workers"], queue["drain_per_second"]) == (1, None, None)
    assert (found["runs"], found["workers"], found["running"]) == ([], [], None)
    screen = board("top", "--once")
    assert (screen.code, screen.err) == (5, "")
    assert screen.out.splitlines()[1].startswith("!! Postgres does not answer since ")
    assert screen.out.count("? Postgres does not answer") == 4


def test_without_the_broker_the_ledgers_half_is_shown(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board("run", "quick")
    monkeypatch.setenv("CALLBOARD_BROKER_URL", f"redis://{CLOSED}/0")
    answer = board("top", "--json")
    found = told(answer)
    assert answer.code == 5
    assert list(found["down"]) == ["broker"]
    assert "the broker cannot be reached" in found["down"]["broker"]
    queue = named(found["queues"], "queue", "fast")
    assert (queue["ready"], queue["paused"], queue["workers"]) == (None, None, 0)
    assert named(found["jobs"], "job", "quick")["attempts"] == 1
    assert board("top", "--once").out.splitlines()[1].startswith("!! the broker does not answer since ")


def test_a_worker_that_takes_one_queue_is_no_consumer_of_the_others(board: Board, worker: Start) -> None:
    worker("--queue", "slow")
    (one,) = eventually(lambda: told(board("top", "--json"))["workers"], 30, what="a worker")
    assert one["queues"] == ["slow"]
    board("trigger", "quick")
    found = told(board("top", "--json"))
    assert [named(found["queues"], "queue", name)["workers"] for name in ("slow", "fast")] == [1, 0]
    assert "no worker takes queue fast, 1 wait" in [problem["text"] for problem in found["problems"]]
    assert "no worker takes queue fast" in board("run", "show", json.loads(board("runs", "--json").out)[0]["id"]).out


def test_a_worker_whose_lease_is_over_is_silent(board: Board) -> None:
    row = {"host": "gone", "pid": 7, "version": "0", "broker_id": "b", "queues": ["fast"], "threads": 4}
    board("jobs")
    with transaction() as connection:
        workers.register(connection, lease=-60.0, id="0195d0a0-0000-7000-8000-000000000001", **row)
    found = told(board("top", "--json"))
    assert [one["state"] for one in found["workers"]] == ["silent"]
    assert {"no worker is alive", "silent: worker gone:7"} <= {problem["text"] for problem in found["problems"]}


class Terminal:
    """`callboard top` on a terminal of its own, of 24 lines of 80 characters."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(self._theirs)
        environment = os.environ | {"TERM": "xterm-256color"}
        environment.pop("COLUMNS")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "top"],
            cwd=ROOT,
            env=environment,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
        )
        self.said, self._seen = b"", 0

    def resize(self, height: int, width: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: bytes) -> None:
        """Press keys; `says` looks only at what is said after."""
        self._read()
        self._seen = len(self.said)
        self.type(keys)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def _read(self) -> bytes:
        while select.select([self._ours], [], [], 0)[0]:
            self.said += os.read(self._ours, 65536)
        return self.said

    def says(self, words: bytes) -> bytes:
        """What it said since the last key, once `words` are among it."""

        def said() -> bool:
            assert self.process.poll() is None, self._read()
            return words in self._read()[self._seen :]

        eventually(said, 20, what=repr(words))
        return self.said[self._seen :]

    def ended(self) -> int:
        """Its exit code; the terminal must be as it was: keys, cursor and screen."""

        def code() -> tuple[int] | None:
            self._read()
            found = self.process.poll()
            return None if found is None else (found,)

        (found,) = eventually(code, 10, what="its end") or (-1,)
        said = self._read()
        assert termios.tcgetattr(self._theirs) == self.before
        assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l"), "the cursor is shown again"
        assert said.rindex(b"\x1b[?1049l") > said.rindex(b"\x1b[?1049h"), "the shell's screen is back"
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def terminal(board: Board) -> Iterator[Terminal]:  # noqa: ARG001 - its servers
    made = Terminal()
    yield made
    made.close()


def test_keys_are_answered_at_once_and_q_gives_the_terminal_back(terminal: Terminal) -> None:
    screen = terminal.says(b"q: quit")
    assert b"no worker is alive" in screen
    assert b"\x1b[" in screen, "colours"
    terminal.press(b"4")
    terminal.says(b"sort (overdue first)")
    terminal.press(b"s")
    terminal.says(b"sort (next first)")
    terminal.press(b"p")
    terminal.says(b"PAUSED")
    terminal.press(b"\t")
    terminal.says(b"sort (silent first)")
    terminal.type(b"q")
    assert terminal.ended() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(terminal: Terminal, how: signal.Signals) -> None:
    terminal.says(b"q: quit")
    terminal.process.send_signal(how)
    assert terminal.ended() == 0
    assert b"Traceback" not in terminal.said


def test_a_terminal_that_grows_is_filled(terminal: Terminal) -> None:
    terminal.says(b"q: quit")
    terminal.press(b"p")
    terminal.says(b"PAUSED")
    terminal.resize(40, 160)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.press(b"1")
    assert b"claimed" in terminal.says(b"drain/s")


def test_it_goes_on_while_postgres_is_away(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    board("trigger", "quick")
    monkeypatch.setenv("CALLBOARD_DATABASE_URL", f"postgresql://nobody@{CLOSED}/none")
    terminal = Terminal()
    try:
        first = terminal.says(b"Postgres does not answer")
        assert b"fast" in first
        terminal.press(b"")
        assert re.search(rb"since \d\d:\d\d:\d\d UTC", terminal.says(b"does not answer since"))
    finally:
        terminal.close()
