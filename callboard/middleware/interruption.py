"""Interruption: what a stopping worker does with jobs that do not end by themselves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dramatiq import Middleware
from dramatiq.middleware import Shutdown

from callboard.middleware._interrupts import forget_interrupt, raise_thread_exception
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy


class Interruption(Middleware):
    """Raises `dramatiq.middleware.Shutdown` in jobs that still run when the grace of a stopping worker is over.

    Jobs with Dramatiq's `notify_shutdown` get it at once. Such an attempt is given back and does not count.
    """

    def __init__(self) -> None:
        self._busy: dict[int, bool | None] = {}  # by thread: whether it is interrupted at once; None: it was
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def actor_options(self) -> set[str]:
        """Dramatiq's name."""
        return {"notify_shutdown"}

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """The thread is busy from here on."""
        actor = broker.actors.get(message.actor_name)
        at_once = message.options.get("notify_shutdown", actor is not None and actor.options.get("notify_shutdown"))
        self._busy[threading.get_ident()] = bool(at_once)

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """The thread is free again."""
        with self._lock:
            late = self._busy.pop(threading.get_ident(), False) is None
        if late:
            forget_interrupt()

    after_skip_message = after_process_message

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Interrupt those that asked for it now, and the rest when the grace is over."""
        self._interrupt([thread for thread, at_once in list(self._busy.items()) if at_once])
        self._timer = threading.Timer(get_settings().shutdown_grace_seconds, lambda: self._interrupt(list(self._busy)))
        self._timer.daemon = True
        self._timer.start()

    def _interrupt(self, threads: Iterable[int]) -> None:
        for thread in threads:
            with self._lock:  # so that a job which ends meanwhile is not interrupted, or forgets it
                if self._busy.get(thread) is not None:
                    self._busy[thread] = None
                    raise_thread_exception(thread, Shutdown)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing is left to interrupt."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
