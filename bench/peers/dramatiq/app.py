"""The jobs as the user guide of Dramatiq declares them, on its stock Redis broker and middleware."""

from __future__ import annotations

import os
import time

from counter import NAP_SECONDS, mark
from dramatiq.brokers.redis import RedisBroker

import dramatiq

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS_URL"]))
JOBS = {}


def _declare(queue: str) -> None:
    @dramatiq.actor(actor_name=f"noop.{queue}", queue_name=queue)
    def noop(tag: int) -> None:
        mark(tag)

    @dramatiq.actor(actor_name=f"sleep.{queue}", queue_name=queue)
    def sleep(tag: int) -> None:
        mark(tag)
        time.sleep(NAP_SECONDS)

    JOBS["noop", queue], JOBS["sleep", queue] = noop, sleep


for _queue in os.environ["BENCH_QUEUES"].split(","):
    _declare(_queue)
