"""Calls of `async def` jobs, wherever they are called from."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from dramatiq.asyncio import EventLoopThread, get_event_loop_thread

from callboard.run import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

_START_SECONDS = 10.0
_END_SECONDS = 5.0
_SILENT = logging.Logger("callboard.coroutines")  # noqa: LOG001 - Dramatiq's loop asks for one, and has news for nobody
_SILENT.disabled = True


def call(
    function: Callable[..., Coroutine[Any, Any, Any]],
    on_workers_loop: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:  # noqa: ANN401 - what the function returns, or its coroutine
    """Call an `async def` function.

    A worker's thread waits for the worker's loop (`on_workers_loop`). In code that runs on a loop itself the answer is
    the coroutine, to await. Anywhere else (a test, `callboard run`) it runs to its end, on a loop of its own.
    """
    if _on_a_loop():
        return function(*args, **kwargs)
    if get_event_loop_thread() is not None:
        return on_workers_loop(*args, **kwargs)
    current_run()  # made here, so that the caller can ask it what the coroutine counted
    return _run(function(*args, **kwargs))


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what it returns
    """Run it in a thread beside this one, which stays awake for a time limit and for Ctrl-C."""
    thread = EventLoopThread(_SILENT)
    thread.start(timeout=_START_SECONDS)
    try:
        return thread.run_coroutine(coroutine)
    finally:
        asyncio.run_coroutine_threadsafe(_end_tasks(), thread.loop).result()
        thread.stop()


async def _end_tasks() -> None:
    """Cancel what is still running: the coroutine itself after an interrupt, or tasks that it left behind."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_END_SECONDS)
    await asyncio.get_running_loop().shutdown_asyncgens()
