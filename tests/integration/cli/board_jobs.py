"""Jobs for the tests of the command line; they find the test's folder in BOARD_JOBS_FOLDER."""

from __future__ import annotations

import os
import time
from pathlib import Path

from callboard import Backoff, NoRetry, PermanentError, cron, current_run, every, job


def _folder() -> Path:
    return Path(os.environ["BOARD_JOBS_FOLDER"])


@job("quick", queue="fast", cadence=every(seconds=3600))
def quick(items: int = 3) -> None:
    """Count some items."""
    run = current_run()
    run.count(items=items, errors=0)
    run.note(page="a")


@job("nightly", queue="slow", cadence=cron("0 2 * * *"))
def nightly() -> None:
    """Never due while a test runs."""


@job("broken", queue="fast", retry=NoRetry())
def broken(reason: str = "the disk is full") -> None:
    """Fail for good, unless the file `mended` is there."""
    if not (_folder() / "mended").exists():
        raise PermanentError(reason)
    current_run().count(mended=1)


_PAUSE = float(os.environ.get("STUBBORN_SECONDS", "0.01"))


@job("stubborn", queue="fast", retry=Backoff(max_retries=2, base=_PAUSE, cap=_PAUSE))
def stubborn() -> None:
    """Fail each time, with retries."""
    raise OSError("no route to host")


@job("long", queue="slow", single=True)
def long(total: int = 200) -> None:
    """Work until told to stop, or until the file `enough` is there."""
    run = current_run()
    for done in range(total):
        if run.cancelled or (_folder() / "enough").exists():
            return
        run.progress(done, total, "step by step")
        time.sleep(0.05)


@job("needy", queue="fast")
def needy(project: str, limit: int = 5) -> None:
    """Take arguments."""
    current_run().note(project=project, limit=limit)
