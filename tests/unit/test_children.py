from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from callboard import tether
from callboard.children import Children
from tests.support import alive, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from callboard.children import ChildExit, ChildState

SLEEPER = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]
MORTAL = [sys.executable, "-S", "-c", "raise SystemExit(7)"]
PARENT = """
import sys, time
from callboard.children import Children
children = Children()
for name in "ab":
    children.spawn(name, [sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(*[state.pid for state in children.states()], flush=True)
time.sleep(600)
"""
GRANDPARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def children(clock: Clock) -> Iterator[Children]:
    with Children(clock=clock) as made:
        yield made


def state(children: Children, name: str) -> ChildState:
    return next(each for each in children.states() if each.name == name)


def pid_of(children: Children, name: str) -> int:
    pid = state(children, name).pid
    assert pid is not None
    return pid


def next_exit(children: Children) -> ChildExit:
    return eventually(children.poll, what="the notice of a child's end")[0]


def test_a_child_writes_to_its_log_and_gets_the_variables(children: Children, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    argv = [sys.executable, "-S", "-c", "import os; print(os.environ['GREETING'], 'PATH' in os.environ)"]
    children.spawn("greeter", argv, {"GREETING": "hello"}, restart=False, log=log)
    assert next_exit(children).exit_code == 0
    assert log.read_text() == "hello True\n"


def test_output_passes_through_without_a_log(capfd: pytest.CaptureFixture[str], children: Children) -> None:
    children.spawn("speaker", [sys.executable, "-S", "-c", "print('heard')"], restart=False)
    assert next_exit(children).exit_code == 0
    assert capfd.readouterr().out == "heard\n"


def test_a_dead_child_comes_back_and_its_sibling_is_not_touched(children: Children, clock: Clock) -> None:
    for name in ("first", "second"):
        children.spawn(name, SLEEPER)
    first, second = pid_of(children, "first"), pid_of(children, "second")
    os.kill(first, signal.SIGKILL)
    died = next_exit(children)
    assert (died.name, died.exit_code, died.restart_in) == ("first", -signal.SIGKILL, 0.2)
    assert children.poll() == []
    assert state(children, "first").pid is None, "it came back before its backoff was over"
    clock.now += 0.2
    assert children.poll() == []
    assert pid_of(children, "first") != first
    assert (state(children, "first").restarts, state(children, "second").restarts) == (1, 0)
    assert pid_of(children, "second") == second
    assert alive(second)


def test_backoff_doubles_to_ten_seconds_and_starts_anew_after_a_steady_life(children: Children, clock: Clock) -> None:
    children.spawn("mortal", MORTAL)
    pauses = [next_pause(children, clock) for _ in range(8)]
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    clock.now += 30
    assert next_pause(children, clock) == 0.2
    assert state(children, "mortal").exit_code == 7


def next_pause(children: Children, clock: Clock) -> float:
    pause = next_exit(children).restart_in
    assert pause is not None
    clock.now += pause
    children.poll()
    return pause


def test_a_child_without_restart_stays_dead(children: Children, clock: Clock) -> None:
    children.spawn("once", MORTAL, restart=False)
    assert next_exit(children).restart_in is None
    clock.now += 1000
    assert children.poll() == []
    assert (state(children, "once").pid, state(children, "once").exit_code) == (None, 7)


def test_a_program_that_does_not_exist_says_so(children: Children, tmp_path: Path) -> None:
    children.spawn("ghost", ["/no/such/program"], restart=False, log=tmp_path / "log")
    assert next_exit(children).exit_code == 127
    assert "cannot start /no/such/program: [Errno 2]" in (tmp_path / "log").read_text()


def test_a_start_that_fails_is_tried_again(children: Children, clock: Clock, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    children.spawn("mortal", MORTAL, log=folder / "log")
    next_exit(children)
    (folder / "log").unlink()
    folder.rmdir()
    clock.now += 0.2
    assert children.poll() == []
    assert (state(children, "mortal").pid, state(children, "mortal").restarts) == (None, 0)
    folder.mkdir()
    clock.now += 0.4
    children.poll()
    assert state(children, "mortal").restarts == 1


def test_a_name_is_used_once(children: Children) -> None:
    children.spawn("only", SLEEPER)
    with pytest.raises(ValueError, match="child 'only' exists already"):
        children.spawn("only", SLEEPER)


def test_stop_ends_all_kills_the_deaf_and_may_be_repeated(children: Children, tmp_path: Path) -> None:
    children.spawn("deaf", DEAF, log=tmp_path / "deaf.log")
    children.spawn("willing", SLEEPER, log=tmp_path / "willing.log")
    pids = [each.pid for each in children.states()]
    eventually(lambda: "deaf" in (tmp_path / "deaf.log").read_text(), what="the child to be deaf")
    eventually(lambda: "up" in (tmp_path / "willing.log").read_text(), what="the sibling to be up")
    assert children.stop(timeout=0.5) == ["deaf"]
    assert not any(alive(pid) for pid in pids if pid)
    assert children.states() == []
    assert children.stop() == []


def test_stop_is_harmless_before_any_start_and_while_a_child_is_dead(children: Children) -> None:
    assert children.stop() == []
    children.spawn("mortal", MORTAL)
    next_exit(children)
    assert children.stop() == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_a_child_leaves_in_its_session_ends_with_it(children: Children, tmp_path: Path, end: str) -> None:
    log = tmp_path / "log"
    children.spawn("family", [sys.executable, "-S", "-c", GRANDPARENT], log=log)
    grandchild = int(eventually(log.read_text, what="the number of the grandchild"))
    assert alive(grandchild)
    if end == "stop":
        children.stop()
    else:
        os.kill(pid_of(children, "family"), signal.SIGKILL)
        next_exit(children)
    eventually(lambda: not alive(grandchild), what="the end of the grandchild")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_parent(how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        parent.send_signal(how)
    eventually(lambda: not any(alive(pid) for pid in pids), what="the end of the orphans")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the prefix")
def test_a_child_whose_parent_is_already_gone_does_not_start(tmp_path: Path) -> None:
    prefix = [sys.executable, "-I", "-S", tether.__file__, "1", "15", ""]
    witness = tmp_path / "started"
    done = subprocess.run([*prefix, "touch", str(witness)], check=False)
    assert done.returncode == 0
    assert not witness.exists()


def test_ctrl_c_reaches_the_parent_alone(children: Children) -> None:
    children.spawn("own", SLEEPER)
    pid = pid_of(children, "own")
    assert os.getsid(pid) == pid != os.getsid(0)
