"""The jobs as the README of Oban for Python declares them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from counter import NAP_SECONDS, mark

from oban import worker

if TYPE_CHECKING:
    from oban import Job


@worker()
class Noop:
    """Mark the start."""

    async def process(self, job: Job) -> None:
        mark(job.args["tag"])


@worker()
class Sleep:
    """Mark the start and wait."""

    async def process(self, job: Job) -> None:
        mark(job.args["tag"])
        await asyncio.sleep(NAP_SECONDS)
