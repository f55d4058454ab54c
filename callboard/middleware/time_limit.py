"""Time limit: Dramatiq's, checked five times a second."""

from __future__ import annotations

import ctypes
import threading
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

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """Stop the clock; an exception that was set just before must not hit the thread in the middle of a hook."""
        thread = threading.get_ident()
        expired = self.manager.deadlines.pop(thread, 0.0) is None  # type: ignore[union-attr]  # gevent has none
        if expired:
            _forget_exception(ctypes.c_ulong(thread), None)

    after_skip_message = after_process_message
