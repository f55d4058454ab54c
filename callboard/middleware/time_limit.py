"""Time limit: ends a job that runs for too long, while it can be reached."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dramatiq import Middleware
from dramatiq.middleware import TimeLimitExceeded

from callboard.loops import Loop
from callboard.middleware._interrupts import forget_interrupt, raise_thread_exception

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._watch.begin((limit or STOCK_LIMIT_MS) / 1000)

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """Stop the clock."""
        self._watch.end()

    after_skip_message = after_process_message


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitExceeded` in this thread if the block takes longer."""
    watch = _Watch()
    watch.start()
    watch.begin(seconds)
    try:
        yield
    finally:
        watch.end()
        watch.stop()


class _Watch(Loop):
    """Looks at the clock, and interrupts each thread that is past its deadline, once."""

    def __init__(self) -> None:
        super().__init__("time-limit", _LOOKS_EVERY)
        self._deadlines: dict[int, float | None] = {}  # by thread, monotonic; None: it is over, and the thread was told
        self._lock = threading.Lock()

    def begin(self, seconds: float) -> None:
        """The calling thread has so long from now on."""
        self._deadlines[threading.get_ident()] = time.monotonic() + seconds

    def end(self) -> None:
        """The calling thread was fast enough, or has been told; nothing is raised in it any more."""
        with self._lock:
            late = self._deadlines.pop(threading.get_ident(), 0.0) is None
        if late:
            forget_interrupt()

    def _tick(self) -> None:
        now = time.monotonic()
        for thread, deadline in list(self._deadlines.items()):
            if deadline is not None and now >= deadline:
                self._interrupt(thread, deadline)

    def _interrupt(self, thread: int, deadline: float) -> None:
        with self._lock:  # so that the job's end comes before it, and none is raised, or after it, and it is forgotten
            if self._deadlines.get(thread) != deadline:
                return
            self._deadlines[thread] = None
            raise_thread_exception(thread, TimeLimitExceeded)
