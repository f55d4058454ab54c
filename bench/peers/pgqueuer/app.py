"""The jobs as the README of PgQueuer declares them: one entrypoint for each job and queue."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from counter import NAP_SECONDS, mark
from pgqueuer.db import AsyncpgDriver

from pgqueuer import PgQueuer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pgqueuer.models import Job


@asynccontextmanager
async def main() -> AsyncGenerator[PgQueuer, None]:
    """What `pgq run` wants; the plain coroutine of the README is refused by 1.6.0."""
    connection = await asyncpg.connect(os.environ["BENCH_DATABASE_URL"])
    queuer = PgQueuer(AsyncpgDriver(connection))
    for queue in os.environ["BENCH_QUEUES"].split(","):
        _declare(queuer, queue)
    try:
        yield queuer
    finally:
        await connection.close()


def _declare(queuer: PgQueuer, queue: str) -> None:
    @queuer.entrypoint(f"noop.{queue}")
    async def noop(job: Job) -> None:
        mark(int(job.payload))

    @queuer.entrypoint(f"sleep.{queue}")
    async def sleep(job: Job) -> None:
        mark(int(job.payload))
        await asyncio.sleep(NAP_SECONDS)
