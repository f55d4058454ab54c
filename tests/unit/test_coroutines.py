"""An `async def` job is called like any other: directly, awaited, from memory, under a time limit."""

from __future__ import annotations

import asyncio

import pytest
from dramatiq.middleware import TimeLimitExceeded

from callboard import current_run, job
from callboard.middleware.time_limit import limited
from callboard.run import Run
from callboard.testing import MemoryBroker

pytestmark = pytest.mark.usefixtures("callboard_broker")


async def _double(number: int) -> int:
    await asyncio.sleep(0)
    current_run().count(doubled=1)
    return number * 2


def test_called_directly_it_runs_to_its_end(callboard_run: Run) -> None:
    answer: object = job("double")(_double)(21)
    assert answer == 42
    assert callboard_run.counts == {"doubled": 1}


def test_where_a_loop_runs_it_is_awaited(callboard_run: Run) -> None:
    double = job("double")(_double)

    async def twice() -> int:
        return await double(await double(3))

    assert asyncio.run(twice()) == 12
    assert callboard_run.counts == {"doubled": 2}


def test_the_broker_in_memory_runs_it(callboard_broker: MemoryBroker) -> None:
    job("double")(_double).send(3)
    (run,) = callboard_broker.drain()
    assert (run.state, run.report.counts) == ("completed", {"doubled": 1})


def test_its_error_is_the_callers() -> None:
    @job("fails")
    async def fails() -> None:
        raise KeyError("nothing there")

    with pytest.raises(KeyError, match="nothing there"):
        _ = fails()


def test_past_its_time_limit_it_is_cancelled_with_what_it_started() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(name)

    @job("slow")
    async def slow() -> None:
        beside = asyncio.create_task(wait("beside"))
        await wait("itself")
        await beside

    with pytest.raises(TimeLimitExceeded), limited(0.05):
        _ = slow()
    assert sorted(ended) == ["beside", "itself"]
