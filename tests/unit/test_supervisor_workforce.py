"""The rules of the supervisor on real processes that misbehave, with a clock that the test moves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from callboard.children import Children
from callboard.supervisor._seat import STARTING_SECONDS, STILL_SECONDS, resident_mb
from callboard.supervisor.plan import Plan
from callboard.supervisor.workforce import Workforce
from tests.support import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.supervisor.page import StatusPage

ROOT = Path(__file__).parent.parent.parent
# The page's module alone: with all of callboard a process takes half a second to start.
BARE = f"""
import os, sys, time, types
sys.path.insert(0, {str(ROOT)!r})
callboard = types.ModuleType("callboard")
callboard.__path__ = [{str(ROOT / "callboard")!r}]
sys.modules["callboard"] = callboard
from callboard.supervisor.page import State, StatusPage
page = StatusPage.of_this_process(1)
"""
SLEEP = "\ntime.sleep(600)\n"
WORKING = BARE + "page.say(State.WORKING)\n"
BUSY = "page.slot(0).begin(bytes(16), 1, 1, True, {patience}, b'the message')\n"
# Says what the page it was handed shows, and which slots are blamed.
NOTARY = (
    BARE
    + "page = StatusPage.opened(int(sys.argv[1]))\n"
    + "said = [page.body(attempt).decode() for attempt in page.running()]\n"
    + "open(os.environ['NOTE'], 'a').write(f'{said} {sys.argv[2:]}')\n"
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A workforce whose workers run a program of the test's."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.children = Children()
        self.note = folder / "note"
        self.note.touch()
        self._folder = folder
        self._workforce: Workforce | None = None

    def start(self, program: str, *, processes: int = 1, max_jobs: int = 0) -> Workforce:
        plan = Plan(
            worker=(sys.executable, "-S", "-c", program),
            notary=(sys.executable, "-S", "-c", NOTARY),
            processes=processes,
            threads=1,
            grace_seconds=1.0,
            lease_seconds=10.0,
            max_jobs=max_jobs,
        )
        environment = {"NOTE": str(self.note)}
        self._workforce = Workforce(
            self.children, plan, env=environment, clock=self.clock, log=lambda _: self._folder / "log"
        )
        self._workforce.start()
        return self._workforce

    def pids(self) -> dict[str, int | None]:
        return {child.name: child.pid for child in self.children.states()}

    def pid(self, name: str = "worker-1") -> int:
        found = self.children.pid(name)
        assert found is not None
        return found

    def pass_time(self, seconds: float) -> None:
        """Let the workforce tend once a second for so long."""
        assert self._workforce is not None
        for _ in range(int(seconds)):
            self.clock.now += 1.0
            self._workforce.tend()

    def stop(self) -> None:
        self.children.stop(2)
        if self._workforce is not None:
            self._workforce.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.stop()


def ready(workforce: Workforce, check: Callable[[StatusPage], bool]) -> None:
    """Wait until the first worker's page shows it."""
    seat = workforce._seats["worker-1"]
    eventually(lambda: check(seat.page), what="the page to show it")


def replaced(rig: Rig, workforce: Workforce, pid: int, name: str = "worker-1") -> bool:
    workforce.tend()
    return not alive(pid) and rig.children.pid(name) not in (None, pid)


def test_an_attempt_past_its_hard_deadline_costs_its_process_and_the_notary_gets_the_page(rig: Rig) -> None:
    workforce = rig.start(WORKING + _first(rig) + "if first:\n    " + BUSY.format(patience=1) + SLEEP, processes=2)
    seats = workforce._seats
    (guilty,) = eventually(lambda: [name for name, seat in seats.items() if seat.page.running()], what="the attempt")
    (other,) = set(seats) - {guilty}
    pid, sibling = rig.pid(guilty), rig.pid(other)
    eventually(lambda: replaced(rig, workforce, pid, guilty), what="its replacement")
    eventually(rig.note.read_text, what="the note")
    assert rig.note.read_text() == "['the message'] ['0']"
    eventually(lambda: not workforce.tend() and set(rig.pids()) == {"worker-1", "worker-2"}, what="no notary is left")
    assert rig.pid(other) == sibling


def _first(rig: Rig) -> str:
    """Lines that make `first` true in the first process that comes by, and false in all others."""
    mark = rig.note.with_name("first")
    return f"try:\n    open({str(mark)!r}, 'x').close()\n    first = True\nexcept FileExistsError:\n    first = False\n"


def test_a_worker_that_tells_of_its_rounds_and_then_stands_still_is_replaced(rig: Rig) -> None:
    workforce = rig.start(WORKING + "page.progress()" + SLEEP)
    ready(workforce, lambda page: page.progress_ns > 0)
    pid = rig.pid()
    rig.pass_time(STILL_SECONDS - 1)
    assert rig.pid() == pid
    rig.pass_time(2)
    eventually(lambda: replaced(rig, workforce, pid), what="its replacement")
    assert rig.note.read_text() == "", "nobody is to blame: there is nothing to note"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(WORKING, id="it never told"),
        pytest.param(WORKING + "page.progress()\n" + BUSY.format(patience=0), id="its one thread is busy"),
        pytest.param(BARE + "page.progress()\npage.say(State.DRAINING)\n", id="it drains"),
    ],
)
def test_who_has_a_reason_to_stand_still_is_left_alone(rig: Rig, program: str) -> None:
    workforce = rig.start(program + "page.introduce('ready')" + SLEEP)
    ready(workforce, lambda page: page.broker_id == "ready")
    pid = rig.pid()
    rig.pass_time(2 * STARTING_SECONDS)
    assert rig.pid() == pid
    assert alive(pid)


def test_a_start_that_never_ends_is_tried_again(rig: Rig) -> None:
    workforce = rig.start(BARE + SLEEP)
    pid = rig.pid()
    rig.pass_time(STARTING_SECONDS - 1)
    assert rig.pid() == pid
    rig.pass_time(2)
    eventually(lambda: replaced(rig, workforce, pid), what="its replacement")


def test_a_worker_whose_threads_take_no_turns_for_a_lease_is_replaced(rig: Rig) -> None:
    workforce = rig.start(WORKING + BUSY.format(patience=0) + "page.breathe()" + SLEEP)
    ready(workforce, lambda page: page.breath_ns > 0)
    pid = rig.pid()
    rig.pass_time(9)
    assert rig.pid() == pid
    rig.pass_time(2)
    eventually(lambda: replaced(rig, workforce, pid), what="its replacement")


def test_time_in_which_the_supervisor_itself_was_frozen_does_not_count(rig: Rig) -> None:
    workforce = rig.start(WORKING + "page.breathe()" + SLEEP)
    ready(workforce, lambda page: page.breath_ns > 0)
    pid = rig.pid()
    rig.pass_time(1)
    rig.clock.now += 3600
    workforce.tend()
    assert rig.pid() == pid
    assert alive(pid)


def test_a_worn_process_works_until_its_successor_does_and_is_then_asked_to_drain(rig: Rig) -> None:
    go = rig.note.with_name("go")
    jobs = "slot = page.slot(0)\nfor _ in range(3):\n    slot.begin(bytes(16), 1, 1, True, 0, b'')\n    slot.end()\n"
    wait = f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\n"
    program = (
        BARE
        + _first(rig)
        + f"if first:\n    {_indent(jobs)}\nelse:\n    {_indent(wait)}\npage.say(State.WORKING)"
        + SLEEP
    )
    workforce = rig.start(program, max_jobs=3)
    ready(workforce, lambda page: page.jobs == 3)
    old = rig.pid()
    eventually(lambda: not workforce.tend() and "worker-1-old" in rig.pids(), what="the successor")
    for _ in range(5):
        assert workforce.tend() == []
    assert alive(old), "it went before its successor worked"
    go.touch()
    eventually(lambda: not workforce.tend() and "worker-1-old" not in rig.pids(), what="the end of the old one")
    assert not alive(old)
    assert set(rig.pids()) == {"worker-1"}


def _indent(lines: str) -> str:
    return lines.rstrip("\n").replace("\n", "\n    ")


def test_memory_is_measured_in_megabytes_and_that_of_nobody_is_none() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "x = bytearray(50_000_000); print('up', flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        assert 55 < resident_mb(process.pid) < 80
        process.kill()
    assert resident_mb(process.pid) == 0
    assert resident_mb(None) == 0
