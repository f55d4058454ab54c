"""Jobs that the chaos tests run in real processes; each start is one line of an append-only file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from callboard import Backoff, current_run, every, job

_LOG = Path(os.environ.get("CHAOS_LOG", os.devnull))


def _say(*words: object) -> None:
    line = " ".join(map(str, (f"{time.time():.6f}", *words))) + "\n"
    descriptor = os.open(_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@job("short", queue="short", retry=Backoff(max_retries=3, base=0.2, cap=1))
def short(number: int) -> None:
    """A few milliseconds of work."""
    _say("short", number, current_run().id, current_run().attempt)
    time.sleep(0.005)


@job("grid", queue="grid", cadence=every(seconds=3))
def grid() -> None:
    """Write down when it started and which tick it stands for."""
    run = current_run()
    scheduled = run.scheduled_for
    _say("grid", scheduled.timestamp() if scheduled else 0, run.missed, run.id)


@job("second", queue="grid", cadence=every(seconds=1))
def second() -> None:
    """The shortest cadence."""
    run = current_run()
    _say("second", run.scheduled_for.timestamp() if run.scheduled_for else 0, run.missed, run.id)


@job("killer", queue="short", retry=Backoff(max_retries=3, base=0.2, cap=1))
def killer() -> None:
    """Kill the worker that runs it, every time."""
    _say("killer", current_run().id)
    os.kill(os.getpid(), signal.SIGKILL)


@job("fragile", queue="short", on_crash="fail")
def fragile() -> None:
    """Kill the worker, and do not come back."""
    _say("fragile", current_run().id)
    os.kill(os.getpid(), signal.SIGKILL)


@job("patient", queue="short", retry=Backoff(max_retries=3, base=0.2, cap=1))
def patient(seconds: float) -> None:
    """Wait in slices, so that a stopping worker can interrupt it."""
    _say("patient", current_run().id, current_run().attempt)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)


@job("paper", queue="paper", retry=Backoff(max_retries=3, base=0.2, cap=1))
def paper(number: int) -> None:
    """Write down that it ran."""
    _say("paper", number, current_run().id)
