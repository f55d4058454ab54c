"""The broker for tests and for trying things out: the whole contract, in this process, without a server.

Brokers that share a `MemoryStore` are workers of one fleet, each with its own lease; all is lost with the process.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from callboard.broker.codec import decode, encode
from callboard.broker.delivery import Delivery
from callboard.broker.memory_store import Entry, MemoryStore
from callboard.broker.transport import Transport, announced
from callboard.envelope import delivery_id
from callboard.outcome import GiveBack, Resend
from callboard.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dramatiq import Message, Middleware

    from callboard.broker.delivery import Delayed, Depth, Lane
    from callboard.outcome import Settlement

__all__ = ["MemoryBroker", "MemoryStore"]


class MemoryBroker(Transport):
    """A broker on a store in memory; thread-safe.

    Args:
        store: Where the messages are; a new one unless it is shared.
        middleware: The stack, in order.
        message_max_bytes: The largest body that is taken.
    """

    def __init__(
        self,
        *,
        store: MemoryStore | None = None,
        middleware: list[Middleware] | None = None,
        message_max_bytes: int = Settings.model_fields["message_max_bytes"].default,
    ) -> None:
        super().__init__(middleware=middleware)
        self.store = store or MemoryStore()
        self._message_max_bytes = message_max_bytes
        self._turns: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._interrupts = 0
        self._unknown: set[tuple[str, str]] = set()

    @announced
    def enqueue_many(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        """Enqueue messages; all are taken, or it raises."""
        batch = list(messages)
        for message in batch:
            self.declare_queue(message.queue_name)
            self.emit_before("enqueue", message, delay)
        entries = [self._entry(message) for message in batch]
        self.store.put(entries, None if delay is None else delay / 1000)
        self.enqueued(batch, delay)
        return batch

    def _entry(self, message: Message[Any]) -> Entry:
        body = encode(message, limit=self._message_max_bytes)
        return Entry(delivery_id(message), message.queue_name, body, self.priority_of(message))

    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[Delivery]:
        """Take messages; see the contract. What is due counts, whether or not anybody pulses."""
        deadline = time.monotonic() + timeout
        with self.store.changed:
            seen = self._interrupts
            taken = self.store.take(self.broker_id, self._in_turn(lanes))
            while not taken and (left := deadline - time.monotonic()) > 0 and self._interrupts == seen:
                self.store.changed.wait(min(left, max(self.store.promote(), 0.001)))
                taken = self.store.take(self.broker_id, self._in_turn(lanes))
            found = [Delivery(entry.id, entry.queue, entry.body, None, entry.crashes) for entry in taken]
        for delivery in found:
            delivery.message, delivery.defect = decode(delivery.body, delivery.queue)
        return found

    def _in_turn(self, lanes: Sequence[Lane]) -> Iterator[tuple[Sequence[str], int]]:
        for lane in lanes:
            queues = tuple(lane.queues)
            first = self._turns[queues] % max(len(queues), 1)
            self._turns[queues] = first + 1
            yield queues[first:] + queues[:first], lane.room

    def interrupt(self) -> None:
        """Make the fetches that wait on this broker return at once."""
        with self.store.changed:
            self._interrupts += 1
            self.store.changed.notify_all()

    def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        """Do with each delivery what was decided, all at one moment."""
        again = [self._again(delivery, settlement) for delivery, settlement in batch]
        with self.store.changed:
            freed = [self.store.release(self.broker_id, delivery.queue, delivery.id) for delivery, _ in batch]
            for resent in (resent for resent, entry in zip(again, freed, strict=True) if resent and entry):
                self.store.put(*resent)
            decided = zip(freed, batch, strict=True)
            self.store.give_back([entry for entry, (_, what) in decided if entry and isinstance(what, GiveBack)])

    def _again(self, delivery: Delivery, settlement: Settlement) -> tuple[list[Entry], float] | None:
        if not isinstance(settlement, Resend):
            return None
        if delivery.message is None:
            raise ValueError(f"delivery {delivery.id} cannot be read, so it cannot be sent again: acknowledge it.")
        entry = self._entry(delivery.message)
        entry.crashes = delivery.crashes
        return [entry], max(settlement.delay, 0.0)

    def pulse(self, held: Collection[str] | None = None) -> float:
        """Renew the lease, and more; see the contract. None: who calls does not know what is held here."""
        with self.store.changed:
            due = self.store.pulse(self.broker_id)
            if held is not None:
                unknown = {place for place in self.store.held_by(self.broker_id) if place[1] not in held}
                strays = unknown & self._unknown
                given = [self.store.release(self.broker_id, *place) for place in sorted(strays)]
                self.store.give_back([entry for entry in given if entry])
                self._unknown = unknown - strays
        return max(min(due, self.store.heartbeat_seconds), 0.0)

    def leave(self) -> None:
        """Give back whatever this broker holds, and end its lease."""
        self.store.leave(self.broker_id)

    def has(self, deliveries: Iterable[tuple[str, str]]) -> list[bool]:
        """For each (queue, delivery id): is it here, ready, claimed or delayed?"""
        return [self.store.has(queue, delivery) for queue, delivery in deliveries]

    def alive(self) -> set[str]:
        """The `broker_id` of every broker on this store whose lease runs."""
        return self.store.alive()

    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """How many messages of each queue are where."""
        return {queue: self.store.depth(queue) for queue in queues}

    def delayed(self, queue: str, *, limit: int = 100) -> list[Delayed]:
        """Messages of a queue that wait for their time, the next one first."""
        return self.store.delayed(queue, limit)

    def drop(self, queue: str, delivery: str) -> bool:
        """Forget a message that waits; False if it does not."""
        return self.store.drop(queue, delivery)

    def pause(self, queue: str) -> None:
        """Hand out nothing of this queue from now on."""
        self.store.set_paused(queue, paused=True)

    def resume(self, queue: str) -> None:
        """End `pause`."""
        self.store.set_paused(queue, paused=False)

    def paused(self) -> set[str]:
        """The queues that are paused."""
        return self.store.paused()

    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Bound how many messages of a queue may be held at once over all brokers of the store."""
        self.store.set_limits(limits)

    def close(self) -> None:
        """End the fetches that wait; what this broker holds stays held until its lease ends, or it leaves."""
        self.interrupt()
