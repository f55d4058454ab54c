"""The worker of one process: one fetch for all queues, lanes of threads, one commit for all that ended.

    fetch thread ──▶ lane: deque ──▶ job threads ──▶ committer ──▶ ledger, then broker
         ▲  blocks on the server        │ middleware, function
         └────────── room ──────────────┘

It stands in for `dramatiq.Worker`: the same hooks are called, in the same order, from the same kinds of threads.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from dramatiq.errors import ActorNotFound, ConnectionClosed
from dramatiq.middleware import SkipMessage

from callboard.broker.consumer import Proxy
from callboard.broker.delivery import Lane
from callboard.errors import DeclarationError
from callboard.middleware import RunRecord
from callboard.middleware.hard_limit import HardLimit
from callboard.outcome import GiveBack, Resend
from callboard.worker.committer import Committer
from callboard.worker.lane import NUDGE_SECONDS, LanePool
from callboard.worker.quarantine import Quarantine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from callboard.broker.delivery import Delivery
    from callboard.broker.transport import Transport
    from callboard.outcome import Settlement
    from callboard.supervisor.page import StatusPage
    from callboard.worker.lane import LanePlan

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FETCH_SECONDS = 4.0
# However full it is, the fetch thread goes round this often, which tells the supervisor that it lives.
_ROUND_SECONDS = 5.0
# Deliveries that nobody began, in a lane where nothing ended for so long, go back to where others can take them.
_HOARD_SECONDS = 0.1
_AFTER_ERROR_SECONDS = 0.5
# How often it is counted what lies ready here.
_COUNT_SECONDS = 1.0
# A message that must run alone, and cannot now, is looked at again after so long.
_SUSPECT_SECONDS = 1.0


class Worker:
    """Works on queues until it is stopped.

    Args:
        broker: Where from.
        lanes: Which queues share which threads.
    """

    def __init__(self, broker: Transport, lanes: Sequence[LanePlan]) -> None:
        self.broker = broker
        self.worker_threads = sum(lane.threads for lane in lanes)
        self._record = _record_of(broker)
        self._room = threading.Event()
        self._running = True
        self._committer = Committer(broker, self._record, self._room.set)
        self.quarantine = Quarantine(self._gate_moved, lambda: self._committer.idle)
        self._lanes = [LanePool(plan, self) for plan in lanes]
        self._lane_of = {queue: lane for lane in self._lanes for queue in lane.queues}
        self.consumer_whitelist = set(self._lane_of)  # Dramatiq's name for the queues that a worker takes from
        self._fetcher = threading.Thread(target=self._fetch_all, name="fetcher", daemon=True)
        self._fetching_for = 0
        self._page: StatusPage | None = None
        self._next_count = 0.0

    def start(self) -> None:
        """Begin to work."""
        self.broker.emit_before("worker_boot", self)
        self._committer.start()
        for lane in self._lanes:
            lane.start()
        self._page = next((one.page for one in self.broker.middleware if isinstance(one, HardLimit)), None)
        self._fetcher.start()
        self.broker.emit_after("worker_boot", self)

    def stop(self, timeout: float) -> bool:
        """Give back what was not begun, let the rest end, write it and settle it.

        Args:
            timeout: Seconds for the jobs that run.

        Returns:
            False when some still run, or could not be written: they stay claimed until the lease is over.
        """
        deadline = time.monotonic() + timeout
        self._running = False
        self.broker.emit_before("worker_shutdown", self)
        self._give_back([delivery for lane in self._lanes for delivery in lane.stop()])
        self.quarantine.stop()
        self._room.set()
        self._interrupt()
        ended = [lane.join(deadline) for lane in self._lanes]
        self._committer.stop(max(deadline - time.monotonic(), 1.0))
        self._fetcher.join()
        self.broker.emit_after("worker_shutdown", self)
        clean = all(ended) and not self._committer.unrecorded
        if clean:
            self._leave()
        return clean

    def _leave(self) -> None:
        try:
            self.broker.leave()
        except ConnectionClosed as error:
            logger.warning("broker.goodbye_failed", error=str(error))

    # The fetch thread

    def _fetch_all(self) -> None:
        while self._running:
            if self._page is not None:
                self._page.progress()
            try:
                self._fetch_once()
            except ConnectionClosed as error:
                logger.warning("broker.away", error=str(error).partition("\n")[0])
                if self._record.metering is not None:
                    self._record.metering.broker_failed("fetch")
                self._pause(_AFTER_ERROR_SECONDS)
            except Exception as error:
                logger.exception("broker.fetch_failed", error=str(error).partition("\n")[0])
                self._pause(_AFTER_ERROR_SECONDS)

    def _pause(self, seconds: float) -> None:
        self._room.clear()
        if self._running:
            self._room.wait(seconds)

    def _fetch_once(self) -> None:
        self._room.clear()
        wanted = [] if self._committer.full else [Lane(lane.queues, lane.room()) for lane in self._lanes]
        wanted = [lane for lane in wanted if lane.room > 0 and lane.queues]
        undecided = any(lane.waiting and lane.idle for lane in self._lanes)
        waiting = any(lane.waiting for lane in self._lanes)
        if wanted and not undecided:
            self._hand_out(self._fetch(wanted, _HOARD_SECONDS if waiting else _FETCH_SECONDS))
        elif not wanted or not self._hand_out(self._fetch(wanted, 0.0)):
            self._room.wait(NUDGE_SECONDS if undecided else _HOARD_SECONDS if waiting else _ROUND_SECONDS)
        self._look_after_lanes()

    def _look_after_lanes(self) -> None:
        """Where deliveries lie ready and none ends: wake idle threads at once, and give them back if there are none."""
        now = time.monotonic()
        for lane in self._lanes:
            stalled = lane.stalled_for(now)
            if lane.idle and stalled >= NUDGE_SECONDS:
                lane.nudge()
            elif stalled >= _HOARD_SECONDS:
                self._give_back(lane.take_back())
        self.quarantine.look(now)
        if self._record.metering is not None and now >= self._next_count:
            self._next_count = now + _COUNT_SECONDS
            self._record.metering.prefetched(sum(lane.waiting for lane in self._lanes))

    def _fetch(self, wanted: Sequence[Lane], seconds: float) -> Sequence[Delivery]:
        self._fetching_for = len(wanted)
        try:
            return self.broker.fetch(wanted, seconds)
        finally:
            self._fetching_for = 0

    def _hand_out(self, found: Sequence[Delivery]) -> bool:
        """Give deliveries to their lanes; False if there were none."""
        if not found:
            return False
        self.broker.known.update([(delivery.id, delivery) for delivery in found])
        if self.quarantine.closed or not self._running:
            self._give_back(found)
            return True
        for lane, deliveries in self._by_lane(found):
            lane.put(deliveries)
        if not self._running:  # it was stopped in between, after the lanes were emptied
            self._give_back([delivery for lane in self._lanes for delivery in lane.stop()])
        return True

    def _by_lane(self, found: Sequence[Delivery]) -> Iterable[tuple[LanePool, list[Delivery]]]:
        groups: dict[LanePool, list[Delivery]] = {}
        for delivery in found:
            if delivery.message is None:
                self.broker.reject(delivery)
                self.broker.known.pop(delivery.id, None)
            else:
                groups.setdefault(self._lane_of[delivery.queue], []).append(delivery)
        return groups.items()

    def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._settle([(delivery, GiveBack()) for delivery in deliveries])

    def _settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        try:
            self.broker.settle(batch)
        except ConnectionClosed as error:
            logger.warning("broker.away", error=str(error).partition("\n")[0])
        for delivery, _ in batch:  # should the call have failed, the pulse finds them to be strays
            self.broker.known.pop(delivery.id, None)

    def refuse(self, delivery: Delivery, *, suspect: bool) -> None:
        """A delivery may not begin beside what runs here; a suspect waits until that has ended, here or elsewhere."""
        self._settle([(delivery, Resend(_SUSPECT_SECONDS) if suspect and self._running else GiveBack())])

    def _gate_moved(self) -> None:
        if self.quarantine.closed:
            self._give_back([delivery for lane in self._lanes for delivery in lane.take_back()])
        self._room.set()

    # The job threads

    def has_room(self) -> None:
        """A lane can take more, and had been full: the fetch thread shall know."""
        self._room.set()
        if 0 < self._fetching_for < len(self._lanes):
            self._interrupt()

    def _interrupt(self) -> None:
        try:
            self.broker.interrupt()
        except ConnectionClosed as error:
            logger.debug("broker.away", error=str(error).partition("\n")[0])

    def execute(self, delivery: Delivery) -> None:
        """Do one delivery and hand it to the committer; never raises."""
        message = Proxy(delivery, delivery.message)
        message.deferred = True
        try:
            self._process(message)
        except BaseException as error:  # a hook of Dramatiq's or an interrupt that came late
            logger.exception("message.failed", message_id=message.message_id, error=str(error).partition("\n")[0])
        finally:
            self.broker.emit_before("nack" if message.failed else "ack", message)
            self._committer.put(message)

    def _process(self, message: Proxy) -> None:
        broker = self.broker
        actor = broker.actors.get(message._message.actor_name)  # noqa: SLF001 - the proxied message
        if actor is None:
            message.fail()
            message.stuff_exception(ActorNotFound(message.actor_name))
            return
        try:
            broker.emit_before("process_message", message)
            result: Any = None
            if not message.failed:
                result = actor(*message.args, **message.kwargs)
            broker.emit_after("process_message", message, result=result)
        except SkipMessage as error:
            if message.failed:
                message.stuff_exception(error)
            broker.emit_after("skip_message", message)
        except BaseException as error:  # noqa: BLE001 - whatever the job raised, the middleware decides about it
            message.stuff_exception(error)
            broker.emit_after("process_message", message, exception=error)
        finally:
            message.clear_exception()


def _record_of(broker: Transport) -> RunRecord:
    for middleware in broker.middleware:
        if isinstance(middleware, RunRecord):
            return middleware
    raise DeclarationError("The broker lacks Callboard's middleware: build it with callboard.make_broker().")
