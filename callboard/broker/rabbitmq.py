"""The broker on RabbitMQ (3.10 or later): quorum queues, publisher confirmations, and delays without a plugin.

What is where is told in `_rabbitmq_topology`; what has arrived here, in `_rabbitmq_inbox`. Two connections, each with a
thread of its own: one publishes, one consumes.

            publish ─────────▶ ready ─────push────▶ here ──fetch──▶ held ────ack────▶ gone
               │                 ▲ ▲                  │               │ │
             delay               │ └── publish, ack ──┴───────────────┘ │  (given back: first in line; or the channel
               ▼                 │                                      │   closes, and then RabbitMQ counts it)
        levels of delay ─────────┘                                publish, ack
               ▲                                                        │
               └────────────────────────────────────────────────────────┘  (a retry)

What a crash leaves behind:

- *of a worker*: RabbitMQ closes its channel, and gives out at once what was not acknowledged, crash counted. There are
  no leases and nothing to take over.
- *of a worker, between publishing and acknowledging*: two messages. A retry has an id of its own, and the first message
  is known in the ledger to be settled. Of one that was given back, the copy is marked `unsure` and the original counts
  a crash, so the ledger is asked before either runs.
- *of a producer's connection*: it sends again, `unsure`, what was not confirmed.
- *of the server*: all that was confirmed is on the disks of a majority.

What RabbitMQ cannot tell, since it lets nobody look into a queue: whether it holds a message (`has`), since when the
first one waits, what is delayed, which workers live. There the answers of this class are the safe ones; see each.

What the operator of the server should know: jobs that run for longer than 30 minutes need `consumer_timeout` in its
configuration before RabbitMQ 3.12. And a queue that is deleted and declared again at once, while workers consume it,
sends them nothing until they are started again (RabbitMQ 3.10 does not tell them).
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from dramatiq.errors import ConnectionClosed

from callboard.broker._rabbitmq_inbox import CRASHES, Inbox
from callboard.broker._rabbitmq_link import Link, parameters_of, result_of
from callboard.broker._rabbitmq_pauses import FRESH_SECONDS, Pauses
from callboard.broker._rabbitmq_publisher import Letter, Publisher
from callboard.broker._rabbitmq_topology import FIRST, Topology, band_of
from callboard.broker.codec import encode
from callboard.broker.delivery import Depth
from callboard.broker.transport import Transport, announced
from callboard.broker.url import broker_url
from callboard.envelope import KEY, delivery_id
from callboard.errors import Unsupported
from callboard.outcome import GiveBack, Resend
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    import pika
    from dramatiq import Message, Middleware
    from pika.channel import Channel
    from pika.frame import Method

    from callboard.broker.delivery import Delayed, Delivery, Lane
    from callboard.outcome import Settlement

#: Seconds between looks for messages that have lain here too long.
_PULSE_SECONDS: Final = 0.5


class _Parts(NamedTuple):
    """What is made when the settings are first needed."""

    topology: Topology
    publisher: Publisher
    pauses: Pauses
    message_max_bytes: int


class RabbitBroker(Transport):
    """The broker on RabbitMQ; see the top of this module.

    Args:
        url: `amqp://` or `amqps://`, with pika's options in the query; the nodes of a cluster separated by `;`. None:
            read from the settings at the first command.
        middleware: The stack, in order.
        namespace: Prefix of all names in RabbitMQ; None: from the settings.
    """

    knows_contents = False

    def __init__(
        self, *, url: str | None = None, middleware: list[Middleware] | None = None, namespace: str | None = None
    ) -> None:
        super().__init__(middleware=middleware)
        self._url = url
        self._namespace = namespace
        self._sending = Link(partial(self._targets, "send"))
        self._consuming = Link(partial(self._targets, "consume"))
        self._parts: _Parts | None = None
        self._inbox: Inbox | None = None
        self._limits: dict[str, int | None] = {}
        self._lock = threading.RLock()

    def _targets(self, purpose: str) -> list[pika.URLParameters]:
        settings = get_settings()
        name = f"callboard {purpose} {self.broker_id}"
        return parameters_of(self._url or broker_url(settings), heartbeat=settings.lease_seconds, name=name)

    @property
    def _made(self) -> _Parts:
        with self._lock:
            if self._parts is None:
                settings = get_settings()
                topology = Topology(self._namespace or settings.broker_namespace)
                publisher = Publisher(self._sending, topology)
                self._parts = _Parts(topology, publisher, Pauses(topology, publisher), settings.message_max_bytes)
            return self._parts

    # Producing

    @announced
    def enqueue_many(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        """Enqueue messages; when this returns, a majority of the servers has them on disk. See `enqueue`.

        A delay is rounded up to 25 milliseconds, and 3.4 years at most.
        """
        batch = list(messages)
        self._sending.session()  # before any hook has written to the ledger
        for message in batch:
            self.declare_queue(message.queue_name)
            self.emit_before("enqueue", message, delay)
        self._send(batch, delay or 0)
        self.enqueued(batch, delay)
        return batch

    def _send(self, batch: list[Message[Any]], delay_ms: int) -> None:
        publisher, limit = self._made.publisher, self._made.message_max_bytes
        letters = [self._letter(message, delay_ms, limit) for message in batch]
        try:
            publisher.send(letters)
        except ConnectionClosed:
            for message in batch:
                message.options.setdefault(KEY, {})["unsure"] = True
            publisher.send([self._letter(message, delay_ms, limit) for message in batch])

    def _letter(self, message: Message[Any], delay_ms: int, limit: int) -> Letter:
        route = self._made.topology.route(message.queue_name, band_of(self.priority_of(message)), delay_ms)
        return Letter(route, encode(message, limit=limit), delivery_id(message))

    # Working

    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[Delivery]:
        """Take messages; see `Transport.fetch`.

        When the connection is lost, so is all that was held, and this raises once; the next call connects again.
        """
        deadline = time.monotonic() + timeout
        inbox, pauses = self._open(timeout), self._made.pauses
        queues = [queue for lane in lanes for queue in lane.queues]
        while True:
            pauses.refresh(queues)
            patience = max(deadline - time.monotonic(), 0.0)
            found = inbox.fetch(lanes, min(patience, FRESH_SECONDS))
            if found is None or found or patience <= FRESH_SECONDS:
                return list(found or ())

    def _open(self, patience: float) -> Inbox:
        with self._lock:
            session = self._consuming.session(patience) if self._inbox is None else self._inbox.session
            if session.reason is not None:
                self._inbox = None
                raise ConnectionClosed(session.reason)
            if self._inbox is None:
                self._inbox = Inbox(session, self._made.topology, lambda: self._made.pauses.names, self._limits)
            return self._inbox

    def interrupt(self) -> None:
        """Make the fetches that wait in this process return."""
        opened = self._inbox
        if opened is not None:
            opened.interrupt()

    def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        """Settle deliveries; see `Transport.settle`. What is to come again is confirmed before the old is acknowledged.

        A delivery of an earlier connection is left alone: RabbitMQ has given it out again.
        """
        opened = self._inbox
        if opened is None:
            return
        held = [(mine, settlement) for delivery, settlement in batch if (mine := opened.mine(delivery))]
        letters = [letter for pair in held for letter in self._again(*pair)]
        if letters:
            self._made.publisher.send(letters)
        opened.acknowledge(delivery for delivery, _ in held)

    def _again(self, delivery: Delivery, settlement: Settlement) -> Iterable[Letter]:
        if isinstance(settlement, GiveBack):
            route = self._made.topology.route(delivery.queue, FIRST)
            yield Letter(route, delivery.body, delivery.id, {CRASHES: delivery.crashes})
        elif isinstance(settlement, Resend):
            if delivery.message is None:
                raise ValueError(f"delivery {delivery.id} cannot be read, so it cannot be sent again: acknowledge it.")
            limit = max(self._made.message_max_bytes, 2 * len(delivery.body))
            letter = self._letter(delivery.message, round(settlement.delay * 1000), limit)
            yield letter._replace(headers={CRASHES: delivery.crashes}) if delivery.crashes else letter

    def pulse(self, held: Collection[str] | None = None) -> float:  # noqa: ARG002 - no reply can be lost here
        """Give back what this process was sent and has had no room for; RabbitMQ itself watches over the connection."""
        opened = self._inbox
        stale = [] if opened is None else opened.stale()
        self.settle([(delivery, GiveBack()) for delivery in stale])
        return _PULSE_SECONDS

    def leave(self) -> None:
        """Give back whatever this process holds, and close its consuming connection."""
        opened = self._inbox
        if opened is not None and opened.session.reason is None:
            self.settle([(delivery, GiveBack()) for delivery in opened.empty()])
        self._inbox = None
        self._consuming.close()

    # Observing

    def has(self, deliveries: Iterable[tuple[str, str]]) -> list[bool]:
        """True for each: RabbitMQ cannot be asked, and a message taken for lost would run twice."""
        return [True for _ in deliveries]

    def alive(self) -> set[str]:
        """Only this process: RabbitMQ cannot be asked for the others, whose leases are in the ledger."""
        return {self.broker_id}

    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """How many messages of each queue are ready, and how many are with this process.

        What others hold and what is delayed is unknown and counted as 0; so is the age of the oldest.
        """
        names = list(queues)
        desk = self._made.publisher.desk()
        answers = [desk.session.ask(partial(self._count, queue)) for queue in names]
        ready = [result_of(answer, desk.session) for answer in answers]
        return {name: Depth(count, self._held(name), 0, 0.0) for name, count in zip(names, ready, strict=True)}

    def _count(self, queue: str, channel: Channel, answer: Future[int]) -> None:
        topology, counts = self._made.topology, list[int]()

        def add(frame: Method[Any]) -> None:
            counts.append(frame.method.message_count)
            if len(counts) == len(topology.bands(queue)):
                answer.set_result(sum(counts))

        topology.declare(channel, queue)
        for name in topology.bands(queue):
            channel.queue_declare(name, passive=True, callback=add)

    def _held(self, queue: str) -> int:
        opened = self._inbox
        return 0 if opened is None else opened.held(queue)

    def delayed(self, queue: str, *, limit: int = 100) -> list[Delayed]:  # noqa: ARG002 - the contract's
        """Refused.

        Raises:
            Unsupported: Always.
        """
        _refuse(f"show the delayed messages of {queue!r}", "look at the pending runs in the ledger")

    def drop(self, queue: str, delivery: str) -> bool:
        """Refused.

        Raises:
            Unsupported: Always.
        """
        _refuse(f"take {delivery!r} out of {queue!r}", "cancel the run: the worker drops its message when it comes")

    # Operating

    def pause(self, queue: str) -> None:
        """Hand out nothing of this queue from now on; other processes know within three seconds."""
        self.declare_queue(queue)
        self._made.pauses.change(queue, paused=True)

    def resume(self, queue: str) -> None:
        """End `pause`; other processes know within three seconds."""
        self.declare_queue(queue)
        self._made.pauses.change(queue, paused=False)

    def paused(self) -> set[str]:
        """The queues that are paused, of those that this process knows."""
        self._made.pauses.refresh(self.queues, age=0.0)
        return set(self._made.pauses.names)

    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Bound how many messages of a queue each process may hold; over all processes only the ledger can."""
        self._limits.update(limits)

    def flush(self, queue_name: str) -> None:
        """Forget every ready message of a queue; for tests."""
        topology, publisher = self._made.topology, self._made.publisher
        desk = publisher.desk()
        for name in topology.bands(queue_name):
            topology_ready = partial(self._purge, queue_name, name)
            result_of(desk.session.ask(topology_ready), desk.session)

    def _purge(self, queue: str, name: str, channel: Channel, answer: Future[None]) -> None:
        self._made.topology.declare(channel, queue)
        channel.queue_purge(name, callback=lambda _: answer.set_result(None))

    def flush_all(self) -> None:
        """Forget every ready message of the declared queues; for tests."""
        for queue in self.queues:
            self.flush(queue)

    def close(self) -> None:
        """Close the connections; what was held is given out again, and the next command opens new ones."""
        self._inbox = None
        self._consuming.close()
        self._sending.close()


def _refuse(what: str, instead: str) -> NoReturn:
    raise Unsupported(f"RabbitMQ cannot {what}: nobody can look into its queues. Instead, {instead}, or use Redis.")
