"""Jobs of the tests of tracing, for worker processes."""

from __future__ import annotations

import os
import time

import structlog
from sqlalchemy import text

from callboard import Backoff, PermanentError, TransientError, current_run, every, http_client, job, transaction

log = structlog.get_logger(__name__)
QUICK = Backoff(max_retries=3, base=0.05, cap=0.1)


@job("calm", queue="traced")
def calm(number: int = 0) -> None:
    """Do nothing but say so."""
    log.info("calm.done", number=number)


@job("durable", queue="traced", durable=True)
def durable() -> None:
    """Have a row before it starts."""


@job("flaky", queue="traced", retry=QUICK)
def flaky() -> None:
    """Succeed at the third attempt."""
    attempt = current_run().attempt
    if attempt < 3:
        raise TransientError(f"attempt {attempt} failed, password=hunter2")


@job("hopeless", queue="traced")
def hopeless() -> None:
    """Fail for good."""
    raise PermanentError("never")


@job("asks", queue="traced")
def asks() -> None:
    """One SQL statement and one HTTP call."""
    with transaction() as connection:
        connection.execute(text("select 41 + 1"))
    with http_client() as client:
        client.get(os.environ["TRACED_URL"])


@job("chain", queue="traced")
def chain() -> None:
    """Send two more."""
    calm.send(1)
    calm.send_many([(2,), (3,)])


@job("lonely", queue="traced", single=True)
def lonely() -> None:
    """Run alone."""


@job("ticking", queue="traced", cadence=every(seconds=1))
def ticking() -> None:
    """Be due all the time."""


@job("limited", queue="traced", concurrency=1)
def limited() -> None:
    """One at a time, for a while."""
    time.sleep(0.5)
