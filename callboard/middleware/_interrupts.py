"""Exceptions raised in other threads, and how a thread is rid of one that has not reached it yet."""

from __future__ import annotations

import threading
from contextlib import suppress

from dramatiq.middleware.threading import raise_thread_exception

__all__ = ["forget_interrupt", "raise_thread_exception"]

_CHECKS = 100


class _Forgotten(BaseException):
    """Takes the place of what is forgotten."""


def forget_interrupt() -> None:
    """Let no exception be under way to the calling thread any more.

    A thread has room for one: another takes its place, and is caught here. To clear the place instead
    (`PyThreadState_SetAsyncExc` with NULL) leaves CPython 3.11 and 3.12 looking for an exception for ever, and a thread
    that is traced, by a debugger or for coverage, does nothing else from then on.
    """
    with suppress(_Forgotten):
        raise_thread_exception(threading.get_ident(), _Forgotten)
        for _ in range(_CHECKS):  # the interpreter looks at each turn of a loop
            pass
