"""Hard limit: tells the supervisor what each thread runs, and when its patience is to end."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING

from dramatiq import Middleware

from callboard.loops import Loop
from callboard.middleware._execution import execution_of
from callboard.middleware.time_limit import STOCK_LIMIT_MS
from callboard.settings import get_settings
from callboard.supervisor.page import State, StatusPage

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

    from callboard.supervisor.page import Slot


class _Place(threading.local):
    """The slot of one job thread, once it has asked for it; None if the page has none for it."""

    asked: bool = False
    slot: Slot | None = None


class _Breath(Loop):
    """Shows the supervisor that threads of this interpreter take turns: it does nothing that could wait for others."""

    def __init__(self, page: StatusPage) -> None:
        super().__init__("breath", 1.0)
        self._page = page

    def _tick(self) -> None:
        self._page.breathe()


class HardLimit(Middleware):
    """Keeps the status page of a worker process; see `callboard.supervisor` for what its reader does with it.

    A job that is stuck where no exception reaches it (a socket, a lock, a regular expression, an `except:` in a loop)
    is past its `time_limit` plus CALLBOARD_TIME_LIMIT_GRACE_SECONDS sooner or later: then its process is killed.
    """

    def __init__(self) -> None:
        self.page: StatusPage | None = None
        self._breath: _Breath | None = None
        self._numbers = count()
        self._place = _Place()
        self._grace_ns = 0
        self._patience_ns: dict[str, int] = {}

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Take the page that the supervisor handed us, or one that nobody reads."""
        settings = get_settings()
        self._grace_ns = int(settings.time_limit_grace_seconds * 1e9)
        self._numbers, self._place, self._patience_ns = count(), _Place(), {}
        if self.page is None:  # a second worker in this process goes on with the first one's
            self.page = StatusPage.of_this_process(getattr(worker, "worker_threads", settings.worker_threads))
        self.page.introduce(str(getattr(broker, "broker_id", "")))
        self._breath = _Breath(self.page)
        self._breath.start()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """From here on messages are taken."""
        if self.page is not None:
            self.page.say(State.WORKING)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing new is taken."""
        if self.page is not None:
            self.page.say(State.DRAINING)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Nothing runs any more."""
        if self._breath is not None:
            self._breath.stop()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """The thread is busy, and until when."""
        execution = execution_of(message)
        slot = self._place.slot or self._ask_for_slot()
        if execution is None or slot is None:
            return
        facts, started = execution.facts, execution.started
        own = message.options.get("time_limit")
        patience = self._patience_ns.get(message.actor_name) if not own else self._patience(own)
        if patience is None:
            patience = self._patience(broker.actors[message.actor_name].options.get("time_limit") or STOCK_LIMIT_MS)
            self._patience_ns[message.actor_name] = patience
        slot.begin(facts.id.bytes, started.token, started.attempt, started.recorded, patience, facts.payload)

    def _ask_for_slot(self) -> Slot | None:
        place = self._place
        if not place.asked and self.page is not None:
            place.asked, place.slot = True, self.page.slot(next(self._numbers))
        return place.slot

    def _patience(self, limit_ms: float) -> int:
        """Nanoseconds from the start of an attempt to its hard deadline; 0: it has none."""
        return 0 if limit_ms == float("inf") else int(limit_ms * 1e6) + self._grace_ns

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """The thread is free again."""
        slot = self._place.slot
        if slot is not None and slot.busy:
            slot.end()

    after_skip_message = after_process_message
