"""Jobs of the fault suite: every start and every end of an attempt is one line of an append-only file.

A line is `seconds S|E|X job run attempt pid number`: started, ended, raised. The seconds are those of the system's
monotonic clock, which all processes share and no test shifts.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

from callboard import Backoff, NoRetry, current_run, job

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = Path(os.environ.get("CHAOS_LOG", os.devnull))
_MARKS = _LOG.with_name("marks")
_QUICK = Backoff(max_retries=3, base=0.2, cap=1)


def _say(what: str, name: str, number: int) -> None:
    run = current_run()
    line = f"{time.monotonic():.6f} {what} {name} {run.id} {run.attempt} {os.getpid()} {number}\n"
    descriptor = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@contextmanager
def _effect(name: str, number: int) -> Iterator[None]:
    _say("S", name, number)
    try:
        yield
    except BaseException:
        _say("X", name, number)
        raise
    _say("E", name, number)


def _first_time(name: str, number: int) -> bool:
    """True once for each number, over all processes and crashes."""
    _MARKS.mkdir(exist_ok=True)
    try:
        (_MARKS / f"{name}-{number}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _sleep_in_slices(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))


@job("work", queue="fault", retry=_QUICK)
def work(number: int, milliseconds: float = 5) -> None:
    """A few milliseconds of work."""
    with _effect("work", number):
        time.sleep(milliseconds / 1000)


@job("kept", queue="fault", retry=_QUICK, durable=True)
def kept(number: int, milliseconds: float = 5) -> None:
    """The same, in the ledger before it is in the broker."""
    with _effect("kept", number):
        time.sleep(milliseconds / 1000)


@job("hold", queue="fault", retry=_QUICK)
def hold(number: int, seconds: float) -> None:
    """Take long the first time, and no time after a crash."""
    with _effect("hold", number):
        _sleep_in_slices(seconds if _first_time("hold", number) else 0)


@job("long", queue="fault", retry=_QUICK)
def long(number: int, seconds: float) -> None:
    """Take long every time."""
    with _effect("long", number):
        _sleep_in_slices(seconds)


@job("flaky", queue="fault", retry=_QUICK)
def flaky(number: int, seconds: float = 0) -> None:
    """Fail the first time, after a while."""
    with _effect("flaky", number):
        if _first_time("flaky", number):
            _sleep_in_slices(seconds)
            raise RuntimeError("the first time never works")


@job("unlucky", queue="fault", retry=NoRetry())
def unlucky(number: int) -> None:
    """Fail for good."""
    with _effect("unlucky", number):
        raise RuntimeError("this never works")


@job("leave", queue="fault", retry=_QUICK)
def leave(number: int) -> None:
    """End the process without a word."""
    with _effect("leave", number):
        os._exit(9)


@job("segfault", queue="fault", retry=_QUICK)
def segfault(number: int) -> None:
    """Read address 0."""
    with _effect("segfault", number):
        ctypes.string_at(0)


@job("shoot", queue="fault", retry=_QUICK)
def shoot(number: int) -> None:
    """SIGKILL to its own process."""
    with _effect("shoot", number):
        os.kill(os.getpid(), signal.SIGKILL)


@job("limit_sleep", queue="limits", retry=NoRetry(), time_limit=2)
def limit_sleep(number: int) -> None:
    """One call that lasts far past the limit."""
    with _effect("limit_sleep", number):
        time.sleep(60)


@job("limit_recv", queue="limits", retry=NoRetry(), time_limit=2)
def limit_recv(number: int) -> None:
    """Wait for bytes that never come, without a time-out."""
    with _effect("limit_recv", number):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.recv(1)


@job("limit_lock", queue="limits", retry=NoRetry(), time_limit=2)
def limit_lock(number: int) -> None:
    """Wait for a lock that nobody gives back."""
    with _effect("limit_lock", number):
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


@job("limit_queue", queue="limits", retry=NoRetry(), time_limit=2)
def limit_queue(number: int) -> None:
    """Wait for an item with a time-out far past the limit."""
    with _effect("limit_queue", number):
        Queue[None]().get(timeout=60)


@job("limit_regex", queue="limits", retry=NoRetry(), time_limit=2)
def limit_regex(number: int) -> None:
    """Backtrack for minutes inside one call that holds the interpreter."""
    with _effect("limit_regex", number):
        re.match(r"(a+)+$", "a" * 34 + "b")


@job("limit_except", queue="limits", retry=NoRetry(), time_limit=2)
def limit_except(number: int) -> None:
    """Swallow whatever is raised, for ever."""
    with _effect("limit_except", number):
        while True:
            with suppress(BaseException):
                _sleep_in_slices(60)


@job("about", queue="limits", retry=NoRetry(), time_limit=1)
def about(number: int, milliseconds: float) -> None:
    """Last about as long as its limit."""
    with _effect("about", number):
        _sleep_in_slices(milliseconds / 1000)
