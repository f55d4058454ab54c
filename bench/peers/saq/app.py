"""The jobs as the README of SAQ declares them: one queue object, and so one worker, for each queue."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from counter import NAP_SECONDS, mark

from saq import Queue


async def noop(_context: dict[str, Any], *, tag: int) -> None:
    mark(tag)


async def sleep(_context: dict[str, Any], *, tag: int) -> None:
    mark(tag)
    await asyncio.sleep(NAP_SECONDS)


QUEUES = {
    name: Queue.from_url(os.environ["BENCH_REDIS_URL"], name=name) for name in os.environ["BENCH_QUEUES"].split(",")
}

for _name, _queue in QUEUES.items():
    globals()[f"settings_{_name}"] = {
        "queue": _queue,
        "functions": [noop, sleep],
        "concurrency": int(os.environ.get("BENCH_SAQ_CONCURRENCY", "10")),
    }
