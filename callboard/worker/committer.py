"""The committer: all attempts that ended meanwhile are written in one transaction, and then settled in one round trip.

While one batch is written the next one piles up, so that batches grow with the load, and a single run is written at
once. Under load the committer lets a few milliseconds' worth of runs come together, since each batch costs two round
trips. Nothing is settled before its commit; whoever is killed in between is given out again, and the
ledger then says that the run is over.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import structlog
from dramatiq.errors import ConnectionClosed

from callboard.ledger.database import AWAY
from callboard.middleware import conclude
from callboard.outcome import ONGOING, Acknowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from callboard.broker.consumer import Proxy
    from callboard.broker.delivery import Delivery
    from callboard.broker.transport import Transport
    from callboard.ledger.facts import Ending
    from callboard.middleware import RunRecord
    from callboard.outcome import Settlement
    from observability.meters import Batch

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BATCH = 500
# After a batch of so many the next one is given this long to grow.
_MANY = 2
_LINGER_SECONDS = 0.005
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0
#: With so many ended attempts that are not written yet, nothing more is fetched.
BACKLOG = 2000


class Committer:
    """Writes, then settles. `put` from any thread."""

    def __init__(self, broker: Transport, record: RunRecord, on_room: Callable[[], None]) -> None:
        self._broker = broker
        self._record = record
        self._on_room = on_room
        self._items: deque[Proxy] = deque()
        self._wake = threading.Event()
        self._giving_up = threading.Event()
        self._running, self._writing = True, False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self.unrecorded = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, message: Proxy) -> None:
        """An attempt has ended, or a message was turned away: write it, then settle it."""
        self._items.append(message)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def full(self) -> bool:
        """True while more has ended than may wait to be written."""
        return len(self._items) >= BACKLOG

    @property
    def idle(self) -> bool:
        """Whether all that was put here is written and settled."""
        return not self._items and not self._writing  # in this order: it says that it writes before it takes

    def stop(self, timeout: float) -> None:
        """End once all is written and settled, or after `timeout` seconds; the rest stays claimed by our lease."""
        self._running = False
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._giving_up.set()
            self._thread.join()

    def _run(self) -> None:
        while self._running or self._items:
            self._wake.wait()
            self._wake.clear()
            last = 0
            while self._items:
                if last >= _MANY and len(self._items) < _BATCH and self._running:
                    time.sleep(_LINGER_SECONDS)
                self._writing = True
                was_full, batch = self.full, self._next_batch()
                last = len(batch)
                self._do(batch)
                self._writing = False
                if was_full:
                    self._on_room()

    def _next_batch(self) -> list[Proxy]:
        return [self._items.popleft() for _ in range(min(len(self._items), _BATCH))]

    def _do(self, batch: list[Proxy]) -> None:
        ended = [(message, message.execution.ending) for message in batch if message.execution is not None]
        intended = self._intend(batch, ended)
        kept = self._write([ending for _, ending in ended])
        if kept is None:
            self.unrecorded += len(batch)
            return
        if not all(kept):
            fenced = {id(message) for (message, _), keep in zip(ended, kept, strict=True) if not keep}
            intended = self._intend([message for message in batch if id(message) not in fenced], [])
        self._count(intended)
        for (message, _), keep in zip(ended, kept, strict=True):
            message.settlement = conclude(message, kept=keep)
        self._settle([(message.delivery, message.settlement or Acknowledge()) for message in batch])
        for message in batch:
            self._broker.known.pop(message.delivery.id, None)
        if self._broker.hooks("after_ack") or self._broker.hooks("after_nack"):
            for message in batch:
                self._broker.emit_after("nack" if message.failed else "ack", message)

    def _intend(self, batch: Iterable[Proxy], ended: Sequence[tuple[Proxy, Ending]]) -> Batch | None:
        """What is to be counted of the batch; a process that is killed before it could leaves it written down."""
        metering = self._record.metering
        if metering is None:
            return None
        try:
            counts = metering.batch(batch)
            if ended:
                metering.intend(counts, min((ending for _, ending in ended), key=_goes_on))
        except Exception as error:  # what is not counted is recorded all the same
            logger.exception("metrics.not_counted", error=str(error).partition("\n")[0])
            return None
        return counts

    def _count(self, intended: Batch | None) -> None:
        if intended is None or self._record.metering is None:
            return
        try:
            self._record.metering.count(intended)
            self._record.metering.done()
        except Exception as error:
            logger.exception("metrics.not_counted", error=str(error).partition("\n")[0])

    def _failed(self, operation: str) -> None:
        if self._record.metering is not None:
            self._record.metering.broker_failed(operation)

    def _write(self, endings: list[Ending]) -> list[bool] | None:
        wait = _FIRST_WAIT
        while endings:
            try:
                return self._record.recorder.finish_many(endings)
            except AWAY as error:
                logger.warning("ledger.away", error=str(error).partition("\n")[0], waiting=len(self._items))
            except Exception as error:
                logger.exception("ledger.refused", error=str(error).partition("\n")[0], runs=len(endings))
            if self._giving_up.wait(wait):
                return None
            wait = min(wait * 2, _LONGEST_WAIT)
        return []

    def _settle(self, batch: list[tuple[Delivery, Settlement]]) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                self._broker.settle(batch)
            except ConnectionClosed as error:
                logger.warning("broker.away", error=str(error).partition("\n")[0])
                self._failed("settle")
            except Exception as error:
                logger.exception("broker.refused", error=str(error).partition("\n")[0], messages=len(batch))
            else:
                return
            if self._giving_up.wait(wait):
                return  # they are recorded: whoever gets them next is told that they are over
            wait = min(wait * 2, _LONGEST_WAIT)


def _goes_on(ending: Ending) -> bool:
    """Whether the run may start again, and its row forget this attempt."""
    return isinstance(ending.outcome, ONGOING)
