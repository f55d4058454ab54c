"""The jobs as the guide of Huey declares them: one Huey, and so one consumer, for each queue."""

from __future__ import annotations

import os
import time

from counter import NAP_SECONDS, mark

from huey import RedisHuey

JOBS = {}


def _declare(queue: str) -> RedisHuey:
    huey = RedisHuey(queue, url=os.environ["BENCH_REDIS_URL"], results=False)

    @huey.task(name="noop")
    def noop(tag: int) -> None:
        mark(tag)

    @huey.task(name="sleep")
    def sleep(tag: int) -> None:
        mark(tag)
        time.sleep(NAP_SECONDS)

    JOBS["noop", queue], JOBS["sleep", queue] = noop, sleep
    return huey


for _queue in os.environ["BENCH_QUEUES"].split(","):
    globals()[f"huey_{_queue}"] = _declare(_queue)
