"""The queues and exchanges in RabbitMQ, all durable, all quorum queues, declared by whoever needs them first.

    <ns>.<queue>, <ns>.<queue>:first, <ns>.<queue>:last    ready messages, in three bands of priority
    <ns>:delay.<k>   exchange and queue, k = 0..31          messages that wait for 2^k quanta
    <ns>:due         exchange                               messages that have waited, on their way to their queue
    <ns>:paused, <ns>:paused.any   exchanges, and a queue of length 0, bound by the names of the queues that are paused

Quorum queues of RabbitMQ 3 know no priorities, hence the bands: priorities below 0 go `first`, those above 0 `last`,
and what a worker gives back goes `first` too, since it had its turn already.

A delay is a number of quanta in binary, the most significant bit first in the routing key, then the name of the queue
it is for. At level k a message with bit k = 1 goes into the queue, whose time to live is 2^k quanta, and one with 0 to
the exchange below at once. All messages of one level wait equally long, so none waits behind another, and neither the
worker nor a plugin is needed. (NServiceBus's design.) Expired messages move on with a confirmation of the next queue
(`at-least-once`), so a crash of the server may double one, but loses none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pika.channel import Channel

#: Milliseconds; a delay is rounded up to a multiple.
QUANTUM_MS: Final = 25
#: 2^32 quanta are 3.4 years, the longest delay there is.
LEVELS: Final = 32

FIRST, NORMAL, LAST = range(3)
_SUFFIXES = (":first", "", ":last")
#: Bytes of a routing key are at most 255, and the bits of a delay take 64.
_LONGEST_NAME: Final = 190

_READY: Final[dict[str, Any]] = {
    "x-queue-type": "quorum",
    # The ledger decides when a message is poison; RabbitMQ 4 would drop it after 20 deliveries.
    "x-delivery-limit": 1_000_000,
    # Since RabbitMQ 3.12; milliseconds. Before, the server's own `consumer_timeout` of 30 minutes counts.
    "x-consumer-timeout": 30 * 86_400_000,
}


class Route(NamedTuple):
    """Where to publish to, and what must have been declared before."""

    exchange: str
    key: str
    needs: tuple[str, ...]


def band_of(priority: int) -> int:
    """The band of a job's priority; lower numbers go first."""
    return NORMAL if priority == 0 else FIRST if priority < 0 else LAST


class Topology:
    """The names under one namespace, and how each is declared.

    What `Route.needs` lists is declared by `declare`, on a channel and without waiting for the answer: whatever follows
    on the same channel comes after it.
    """

    def __init__(self, namespace: str) -> None:
        self._ns = namespace
        self.paused = f"{namespace}:paused"
        self.paused_any = f"{namespace}:paused.any"
        self.delays = f"{namespace}:delay"
        self._due = f"{namespace}:due"

    def bands(self, queue: str) -> tuple[str, ...]:
        """The three queues in RabbitMQ that make up one queue.

        Raises:
            ValueError: The names would be too long.
        """
        names = tuple(f"{self._ns}.{queue}{suffix}" for suffix in _SUFFIXES)
        if len(names[0].encode()) > _LONGEST_NAME:
            raise ValueError(
                f"queue {queue!r} in namespace {self._ns!r}: with both, {_LONGEST_NAME - 7} bytes at most."
            )
        return names

    def route(self, queue: str, band: int, delay_ms: int = 0) -> Route:
        """The way of a message to a queue.

        Raises:
            ValueError: The delay is longer than 3.4 years.
        """
        name = self.bands(queue)[band]
        if delay_ms <= 0:
            return Route("", name, (queue,))
        quanta = math.ceil(delay_ms / QUANTUM_MS)
        if quanta >= 2**LEVELS:
            raise ValueError(
                f"delay of {delay_ms} ms: RabbitMQ carries at most {2**LEVELS * QUANTUM_MS} ms, 3.4 years."
            )
        bits = f"{quanta:0{LEVELS}b}"
        return Route(self._level(quanta.bit_length() - 1), ".".join((*bits, name)), (queue, self.delays))

    def _level(self, k: int) -> str:
        return f"{self._ns}:delay.{k}" if k >= 0 else self._due

    def declare(self, channel: Channel, what: str) -> None:
        """Declare a queue with its bands, or `delays`, or `paused`."""
        if what == self.paused:
            channel.exchange_declare(self.paused, "direct", durable=True)
            channel.exchange_declare(self.paused_any, "fanout", durable=True)
            channel.queue_declare(what, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": 0})
        elif what == self.delays:
            self._declare_delays(channel)
        else:
            self._declare_queue(channel, what)

    def _declare_queue(self, channel: Channel, queue: str) -> None:
        channel.exchange_declare(self._due, "topic", durable=True)
        for name in self.bands(queue):
            channel.queue_declare(name, durable=True, arguments=_READY)
            channel.queue_bind(name, self._due, "*." * LEVELS + name)

    def _declare_delays(self, channel: Channel) -> None:
        channel.exchange_declare(self._due, "topic", durable=True)
        for k in range(LEVELS):
            name, below, higher = self._level(k), self._level(k - 1), "*." * (LEVELS - 1 - k)
            channel.exchange_declare(name, "topic", durable=True)
            channel.queue_declare(name, durable=True, arguments=_waiting(QUANTUM_MS << k, below))
            channel.queue_bind(name, name, f"{higher}1.#")
            channel.exchange_bind(below, name, f"{higher}0.#")


def _waiting(milliseconds: int, then: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": milliseconds,
        "x-dead-letter-exchange": then,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # the server demands it for at-least-once; no length is set, so none is
    }
