from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

from tests.support import alive, child_processes, eventually, missing, non_daemon_threads

ROOT = Path(__file__).parents[2]
LEAKS = """
import subprocess, sys, threading, time
import pytest
from tests import conftest

conftest.PATIENCE = 0.5

@pytest.fixture(scope="module")
def wide():
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()

def test_tidy(wide):
    threading.Thread(target=int).start()

def test_leaves_a_thread():
    threading.Thread(target=time.sleep, args=(1.5,), name="left").start()

def test_leaves_a_process():
    global process
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(1.5)"])

def test_waits_for_it():
    process.wait()
"""


def test_eventually_returns_the_first_true_answer() -> None:
    numbers = count()
    assert eventually(lambda: next(numbers)) == 1


def test_eventually_bears_failing_asserts_for_a_while() -> None:
    numbers = count()

    def check() -> bool:
        number = next(numbers)
        assert number > 2, f"only {number}"
        return True

    assert eventually(check)


def test_eventually_says_what_was_awaited_and_what_was_seen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.02 s: the sun; last seen: \[\]"):
        eventually(list, 0.02, what="the sun")
    with pytest.raises(AssertionError, match="last seen: dark"):
        eventually(_dark, 0.02)


def _dark() -> None:
    raise AssertionError("dark")


def test_an_ended_process_is_not_alive_reaped_or_not() -> None:
    assert alive(os.getpid())
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        eventually(lambda: not alive(process.pid))
        assert process.pid in {child.pid for child in child_processes()}
    assert not alive(process.pid)


def test_only_threads_that_hold_up_the_end_count() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait, daemon=daemon) for daemon in (True, False)]
    for thread in threads:
        thread.start()
    assert non_daemon_threads() & set(threads) == {threads[1]}
    stop.set()
    for thread in threads:
        thread.join()


def test_what_is_missing_is_a_reason_to_skip_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="promtool is not installed"):
        missing("promtool")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must have it"):
        missing("promtool")


def test_a_test_that_leaves_something_behind_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    ends = [line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("ERROR ", "FAILED "))]
    assert [end.rsplit("::", 1)[1] for end in ends] == ["test_leaves_a_thread", "test_leaves_a_process"], done.stdout
    assert "4 passed, 2 errors" in done.stdout
