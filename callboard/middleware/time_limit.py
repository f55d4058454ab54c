"""Time limit: ends a job that runs for too long, while it can be reached."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dramatiq import Middleware
from dramatiq.middleware import TimeLimitExceeded

from callboard.loops import Loop
from callboard.middleware._interrupts import forget_interrupt, raise_thread_exception

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

STOCK_LIMIT_MS = 600_000.0  # Dramatiq's, of an actor that names none
_LOOKS_EVERY = 0.2  # seconds


class TimeLimit(Middleware):
    """Raises `TimeLimitExceeded` in the thread of a job that runs past its `time_limit`.

    It cannot interrupt a call that does not come back to Python, such as a socket without a time-out; the supervisor
    ends such a process. An exception that comes as the job ends is forgotten: it must not hit another's hook.
    """

    def __init__(self) -> None:
        self._watch = _Watch()

    @property
    def actor_options(self) -> set[str]:
        """Dramatiq's name; milliseconds."""
        return {"time_limit"}

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Look at the clock from here on."""
        self._watch.start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing runs any more."""
        self._watch.stop()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Start the clock."""
        limit = message.options.get("time_limit") or broker.actors[message.actor_name].options.get("time_limit")
        self._watch.deadlines[threading.get_ident()] = time.monotonic() + (limit or STOCK_LIMIT_MS) / 1000

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """Stop the clock."""
        with self._watch.lock:
            late = self._watch.deadlines.pop(threading.get_ident(), 0.0) is None
        if late:
            forget_interrupt()

    after_skip_message = after_process_message


class _Watch(Loop):
    """Deadlines by thread, of the monotonic clock; None: it is over, and the thread has been told."""

    def __init__(self) -> None:
        super().__init__("time-limit", _LOOKS_EVERY)
        self.deadlines: dict[int, float | None] = {}
        self.lock = threading.Lock()

    def _tick(self) -> None:
        now = time.monotonic()
        for thread, deadline in list(self.deadlines.items()):
            if deadline is not None and now >= deadline:
                self._end(thread, deadline)

    def _end(self, thread: int, deadline: float) -> None:
        with self.lock:  # so that the job's end comes before it, and none is raised, or after it, and it is forgotten
            if self.deadlines.get(thread) != deadline:
                return
            self.deadlines[thread] = None
            raise_thread_exception(thread, TimeLimitExceeded)
