"""Exceptions from other threads: they reach the job they are meant for, or nobody."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from callboard.middleware.interruption import Interruption
from callboard.middleware.time_limit import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

ROUNDS = 2000
LIMIT_SECONDS = 0.0002
BROKER = cast("Broker", SimpleNamespace(actors={"job": SimpleNamespace(options={})}))
MESSAGE = cast("MessageProxy", SimpleNamespace(actor_name="job", options={"time_limit": LIMIT_SECONDS * 1000}))

anywhere = pytest.mark.skipif(
    sys.gettrace() is not None, reason="it would hit the tracer's own code as well, in its locks"
)


def _ends_near_its_limit(middleware: TimeLimit | Interruption, interrupt: Callable[[], None]) -> int:
    """Jobs that end at about the moment when they are interrupted; how many were, none outside of a job."""
    over = threading.Event()

    def keep_interrupting() -> None:
        while not over.is_set():
            interrupt()

    other, hits = threading.Thread(target=keep_interrupting), 0
    other.start()
    try:
        for turn in range(ROUNDS):
            middleware.before_process_message(BROKER, MESSAGE)
            try:
                _spin(LIMIT_SECONDS * turn / ROUNDS * 2)
                middleware.after_process_message(BROKER, MESSAGE)
            except (TimeLimitExceeded, Shutdown):
                hits += 1
                middleware.after_process_message(BROKER, MESSAGE)
            _spin(LIMIT_SECONDS / 10)  # others' hooks
    finally:
        over.set()
        other.join()
    return hits


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@anywhere
def test_a_time_limit_hits_the_job_or_nobody() -> None:
    middleware = TimeLimit()
    assert 0 < _ends_near_its_limit(middleware, middleware._watch.tick) < ROUNDS


@anywhere
def test_a_shutdown_hits_the_job_or_nobody() -> None:
    middleware = Interruption()
    assert _ends_near_its_limit(middleware, lambda: middleware._interrupt(list(middleware._busy))) > 0


def test_an_interrupted_job_is_interrupted_once() -> None:
    middleware = TimeLimit()
    middleware.before_process_message(BROKER, MESSAGE)
    with pytest.raises(TimeLimitExceeded):
        _tick_until(middleware, lambda: False)
    _tick_until(middleware, lambda: True)
    middleware.after_process_message(BROKER, MESSAGE)


def _tick_until(middleware: TimeLimit, done: Callable[[], bool]) -> None:
    for _ in range(100_000):
        middleware._watch.tick()
        if done():
            return


_TRACED = """
import sys, threading
from callboard.middleware._interrupts import forget_interrupt
def traced(*_): return traced
def called(): return 1
forget_interrupt()
sys.settrace(traced)
print(sum(called() for _ in range(1000)))
"""


def test_code_can_be_traced_after_something_was_forgotten() -> None:
    """CPython 3.11 stands still for ever where the place of the exception was cleared instead."""
    done = subprocess.run([sys.executable, "-c", _TRACED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1000\n"
