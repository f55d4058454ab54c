"""Ctrl-C and SIGTERM as an exception, so that they interrupt whatever the main thread waits for."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked us to stop. Like KeyboardInterrupt, `except Exception` must not catch it."""


def was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: a driver that it interrupts may complain of its own state instead."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


@contextmanager
def raising() -> Iterator[None]:
    """Inside, the first signal raises Stopped in the main thread; the ones after it are ignored."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        _install(_ignore)
        raise Stopped

    with _handled_by(stop):
        yield


@contextmanager
def ignored() -> Iterator[None]:
    """Inside, signals change nothing: the stop that is under way has its own deadline."""
    with _handled_by(_ignore):
        yield


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _install(handler)
    try:
        yield
    finally:
        for number, handle in before.items():
            signal.signal(number, handle)


def _install(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Not SIG_IGN: children would inherit that."""
