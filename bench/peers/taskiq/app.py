"""The jobs as the guide of taskiq declares them, on the stream broker of taskiq-redis, the one that acknowledges."""

from __future__ import annotations

import asyncio
import os

from counter import NAP_SECONDS, mark
from taskiq_redis import RedisStreamBroker

_first, *_others = os.environ["BENCH_QUEUES"].split(",")
broker = RedisStreamBroker(
    os.environ["BENCH_REDIS_URL"], queue_name=_first, additional_streams=dict.fromkeys(_others, ">")
)


@broker.task(task_name="noop")
async def noop(tag: int) -> None:
    mark(tag)


@broker.task(task_name="sleep")
async def sleep(tag: int) -> None:
    mark(tag)
    await asyncio.sleep(NAP_SECONDS)
