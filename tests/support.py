"""Helpers of the tests: waiting for something to become true, and what a process leaves behind."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, NoReturn, TypeVar

import psutil  # type: ignore[import-untyped] # ships no types
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout: float = 10.0, *, every: float = 0.01, what: str = "") -> T:
    """The first true answer of `check`, asked every few milliseconds for `timeout` seconds.

    An AssertionError of `check` itself counts as "not yet", so that a check can be written as plain asserts. A check
    that computes much is asked less often: it leaves the machine to what is awaited.

    Raises:
        AssertionError: It never was; with the last answer, and `what` was awaited.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer: T | None = None
        began = time.thread_time()
        try:
            answer = check()
            seen = repr(answer)
        except AssertionError as error:
            seen = str(error)
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or repr(check)}; last seen: {seen}")
        time.sleep(max(every, 2 * (time.thread_time() - began)))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether the process lives; one that has ended but is not yet reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def non_daemon_threads() -> set[threading.Thread]:
    """Threads that would keep this process from ending."""
    return {thread for thread in threading.enumerate() if not thread.daemon and thread.is_alive()}


def child_processes() -> set[psutil.Process]:
    """Children of this process, the dead but unreaped too; not Python's resource tracker, which is one per process."""
    return {child for child in psutil.Process().children() if "multiprocessing.resource_tracker" not in _command(child)}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def missing(what: str) -> NoReturn:
    """Skip the test for want of an optional server or program; in CI, where all are installed, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it: install it in .ci/run")
    pytest.skip(f"{what} is not installed")
