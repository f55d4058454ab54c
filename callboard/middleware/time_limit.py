"""Time limit: Dramatiq's, checked five times a second."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import TYPE_CHECKING

from dramatiq.middleware import TimeLimit as StockTimeLimit

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

_forget_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc


class TimeLimit(StockTimeLimit):
    """Raises TimeLimitExceeded in the thread of a job that runs past its `time_limit`.

    It cannot interrupt a call that does not come back to Python, such as a socket without a time-out; the supervisor
    ends such a process.
    """

    def __init__(self) -> None:
        super().__init__(interval=200)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Start the clock; a thread that is known already needs no lock."""
        limit = message.options.get("time_limit") or broker.actors[message.actor_name].options.get("time_limit")
        thread, deadlines = threading.get_ident(), self.manager.deadlines  # type: ignore[union-attr]  # gevent has none
        if thread in deadlines:
            deadlines[thread] = time.monotonic() + (limit or self.time_limit) / 1000
        else:
            self.manager.add_timeout(thread, limit or self.time_limit)

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """Stop the clock; an exception that was set just before must not hit the thread in the middle of a hook."""
        thread, deadlines = threading.get_ident(), self.manager.deadlines  # type: ignore[union-attr]  # gevent has none
        expired = deadlines.get(thread, 0.0) is None
        deadlines[thread] = None
        if expired:
            _forget_exception(ctypes.c_ulong(thread), None)

    after_skip_message = after_process_message
