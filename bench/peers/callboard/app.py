"""The jobs, as the README of Callboard declares them."""

from __future__ import annotations

import os
import time

from counter import NAP_SECONDS, mark

from callboard import job

QUEUES = os.environ["BENCH_QUEUES"].split(",")


def _declare(queue: str) -> None:
    @job(f"noop.{queue}", queue=queue)
    def noop(tag: int) -> None:
        mark(tag)

    @job(f"sleep.{queue}", queue=queue)
    def sleep(tag: int) -> None:
        mark(tag)
        time.sleep(NAP_SECONDS)


for _queue in QUEUES:
    _declare(_queue)
