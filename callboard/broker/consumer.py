"""What the stock Dramatiq worker reads a queue through; Callboard's own worker fetches for all queues at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from dramatiq.broker import Consumer as StockConsumer
from dramatiq.broker import MessageProxy

from callboard.broker.delivery import Delivery, Lane
from callboard.outcome import Acknowledge, GiveBack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from callboard.broker.transport import Transport


class Proxy(MessageProxy):
    """A message with the delivery it came by; `settlement` is what the ledger decided about it.

    `execution` is the attempt it belongs to, once that was allowed to start.
    """

    settlement: Any = None
    execution: Any = None
    deferred: bool = False

    def __init__(self, delivery: Delivery, message: Any) -> None:  # noqa: ANN401 - dramatiq.Message[Any]
        super().__init__(message)
        self.delivery = delivery
        # What hooks ask for most; the stock proxy looks each up by a failed lookup of its own first.
        self.actor_name: str = message.actor_name
        self.options: dict[str, Any] = message.options
        self.args: tuple[Any, ...] = message.args
        self.kwargs: dict[str, Any] = message.kwargs


class Consumer(StockConsumer):
    """One queue of a transport."""

    def __init__(self, transport: Transport, queue: str, prefetch: int, timeout_ms: int) -> None:
        self._transport = transport
        self._queue = queue
        self._prefetch = prefetch
        self._timeout = timeout_ms / 1000
        self._ready: list[Delivery] = []
        self._out = 0
        self._room = threading.Event()

    def __next__(self) -> MessageProxy | None:
        """The next message, or None when none came in time, or when the worker is stopping and takes nothing new."""
        if not self._ready:
            self._ready = self._fetch()[::-1]
        while self._ready:
            delivery = self._ready.pop()
            if delivery.message is not None:
                return Proxy(delivery, delivery.message)
            self._out -= 1
            self._transport.reject(delivery)
        return None

    def _fetch(self) -> list[Delivery]:
        room = self._prefetch - self._out
        if room <= 0 or not self._transport.accepting:
            self._room.wait(self._timeout)
            self._room.clear()
            return []
        found = self._transport.fetch([Lane((self._queue,), room)], self._timeout)
        self._out += len(found)
        self._transport.known.update((delivery.id, delivery) for delivery in found)
        return found

    def ack(self, message: MessageProxy) -> None:
        """Settle a message: acknowledge it unless the ledger decided otherwise."""
        assert isinstance(message, Proxy)  # noqa: S101 - what __next__ returned
        self._transport.settle([(message.delivery, message.settlement or Acknowledge())])
        self._transport.known.pop(message.delivery.id, None)
        self._out -= 1
        self._room.set()

    nack = ack  # a dead letter is in the ledger

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back that were not started."""
        back = [message.delivery for message in messages if isinstance(message, Proxy)]
        self._transport.settle([(delivery, GiveBack()) for delivery in [*back, *self._ready]])
        for delivery in [*back, *self._ready]:
            self._transport.known.pop(delivery.id, None)
        self._ready.clear()

    def close(self) -> None:
        """Give back what was fetched and not handed out."""
        self.requeue(())
