"""The jobs as the guide of Procrastinate declares them."""

from __future__ import annotations

import asyncio
import os

from counter import NAP_SECONDS, mark

import procrastinate

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE_URL"]), import_paths=["app"]
)


@app.task(name="noop")
async def noop(tag: int) -> None:
    mark(tag)


@app.task(name="sleep")
async def sleep(tag: int) -> None:
    mark(tag)
    await asyncio.sleep(NAP_SECONDS)
