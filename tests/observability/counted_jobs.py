"""Jobs of which it is known how each of their runs ends; CALLBOARD_ACTORS of the workers in `test_exact_counts`."""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import Any
from uuid import UUID

from sqlalchemy import text

from callboard import Backoff, NoRetry, Slo, current_run, get_broker, job, transaction
from callboard.cancel import cancel


@job("fine", slo=Slo(0.99, within=600))
def fine() -> None:
    """Succeeds, and says what it read."""
    current_run().count(read=2, odd=1)


@job("flaky", retry=Backoff(max_retries=2, base=0.05))
def flaky() -> None:
    """Succeeds the second time."""
    if current_run().attempt == 1:
        raise ConnectionError("not yet")


@job("broken", retry=NoRetry())
def broken() -> None:
    """Fails for good."""
    raise ValueError("never")


@job("lonely", single=True, retry=NoRetry())
def lonely(seconds: float = 0.0) -> None:
    """Runs alone: while one runs, all others are skipped."""
    threading.Event().wait(seconds)


@job("called_off", durable=True)
def called_off() -> None:
    """Is cancelled before it starts."""


@job("fatal")
def fatal() -> None:
    """Kills its process the first time."""
    if current_run().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


#: Of each job so many runs, 1,000 in all; of the lonely ones one runs and the others find it running.
MIX = {"fine": 599, "flaky": 100, "broken": 100, "called_off": 100, "lonely": 100, "fatal": 1}


def send_all() -> None:
    """Send the mix: those that are to be skipped, then those that are to be called off, then the rest, shuffled.

    The fatal one comes when the first two are through: a message that a process turns away in the millisecond before it
    is killed is in the ledger and not counted.
    """
    lonely.send(seconds=3.0)
    wait_for("lonely", 1, states=("running",))
    broker: Any = get_broker()
    broker.enqueue_many([lonely.message() for _ in range(MIX["lonely"] - 1)])
    for _ in range(MIX["called_off"]):
        cancel(UUID(called_off.send_with_options(delay=2000).message_id), by="test")
    wait_for("lonely", MIX["lonely"])
    plain = [fine] * MIX["fine"] + [flaky] * MIX["flaky"] + [broken] * MIX["broken"]
    random.Random(4711).shuffle(plain)
    broker.enqueue_many([one.message() for one in [*plain[:400], fatal, *plain[400:]]])


def wait_for(job: str, count: int, states: tuple[str, ...] = ("completed", "cancelled")) -> None:
    """Return when so many runs of the job are in these states."""
    query = text("select count(*) from board.runs where job = :job and state = any(:states)")
    found = 0
    while found < count:
        with transaction() as connection:
            found = connection.execute(query, {"job": job, "states": list(states)}).scalar_one()


if __name__ == "__main__":
    send_all()
