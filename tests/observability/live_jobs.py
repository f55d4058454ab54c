"""A little of everything that a panel may show; CALLBOARD_ACTORS of the workers in `test_live_queries`."""

from __future__ import annotations

import os
import signal
import threading

from callboard import Backoff, NoRetry, Slo, TransientError, breaker, current_run, every, get_broker, job

_TICK = threading.Event()


@job("heartbeat", cadence=every(seconds=1), slo=Slo(0.9, within=30), owner="platform")
def heartbeat() -> None:
    """Recur, and count."""
    current_run().count(read=3)


@job("never", cadence=every(seconds=2), retry=NoRetry(), owner="platform", tier="ticket")
def never() -> None:
    """Recur, and fail each time."""
    raise ValueError("not today")


@job("steady", queue="media")
def steady(seconds: float = 0.5) -> None:
    """Take some time, and say how far it is."""
    for step in range(10):
        _TICK.wait(seconds / 10)
        current_run().progress(step, 10)
    current_run().count(read=10, written=9, rejected=1)


@job("flaky", retry=Backoff(max_retries=2, base=0.5))
def flaky() -> None:
    """Succeed the second time."""
    if current_run().attempt == 1:
        raise ConnectionError("not yet")


@job("broken", queue="media", retry=NoRetry())
def broken() -> None:
    """End as a dead letter."""
    raise ValueError("never")


@job("fatal")
def fatal() -> None:
    """Kill its process the first time."""
    if current_run().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


@job("outside", cadence=every(seconds=1), retry=NoRetry())
def outside() -> None:
    """Fail at a system outside; its breaker opens again after every probe."""
    with breaker("demo:target", failures=3, cooldown=2.0):
        raise TransientError("no answer")


@job("chain")
def chain() -> None:
    """Send another one."""
    steady.send()


def send_all() -> None:
    """A round of all."""
    fatal.send()
    for _ in range(20):
        for one in (flaky, broken, chain, steady):
            one.send()
    steady.send(seconds=120)
    steady.send_with_options(delay=600_000)


if __name__ == "__main__":
    send_all()
    get_broker().close()
