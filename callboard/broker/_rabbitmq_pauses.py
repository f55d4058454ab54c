"""Which queues are paused: a queue is, while the exchange `<ns>:paused` has a binding of its name.

Bindings are durable and known to every node. To ask, a message is published under the queue's name: if it comes back,
there is no such binding. If it does not, it has gone into a queue of length 0. `<ns>:paused.any` has the same bindings
and ignores names, so that mostly one message tells that nothing is paused at all.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from callboard.broker._rabbitmq_link import result_of
from callboard.broker._rabbitmq_publisher import Letter
from callboard.broker._rabbitmq_topology import Route

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from pika.channel import Channel

    from callboard.broker._rabbitmq_publisher import Publisher
    from callboard.broker._rabbitmq_topology import Topology

#: Seconds for which an answer is good.
FRESH_SECONDS: Final = 2.0


class Pauses:
    """Asks, and remembers the answers for two seconds; thread-safe.

    Args:
        topology: Names and declares the exchange.
        publisher: Asks.
    """

    def __init__(self, topology: Topology, publisher: Publisher) -> None:
        self.names: frozenset[str] = frozenset()
        self._topology = topology
        self._publisher = publisher
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()

    def refresh(self, queues: Iterable[str], *, age: float = FRESH_SECONDS) -> None:
        """Ask for those queues whose answer is older than `age` seconds.

        Raises:
            ConnectionClosed: There was no answer.
        """
        with self._lock:
            now = time.monotonic()
            old = [queue for queue in queues if now - self._asked.get(queue, float("-inf")) >= age]
            if old:
                any_paused = self._bound(self._topology.paused_any, old[:1])
                paused = self._bound(self._topology.paused, old) if any_paused else set[str]()
                self.names = (self.names - set(old)) | paused
                self._asked.update(dict.fromkeys(old, now))

    def _bound(self, exchange: str, names: list[str]) -> set[str]:
        letters = [Letter(Route(exchange, name, (self._topology.paused,)), b"", lasting=False) for name in names]
        return set(names) - {letter.route.key for letter in self._publisher.attempt(letters)}

    def change(self, queue: str, *, paused: bool) -> None:
        """Pause a queue, or resume it; every process knows within three seconds.

        Raises:
            ConnectionClosed: It was perhaps done, and may be repeated.
        """
        desk = self._publisher.desk()
        result_of(desk.session.ask(partial(self._bind, queue, paused)), desk.session)
        self.refresh([queue], age=0.0)

    def _bind(self, queue: str, paused: bool, channel: Channel, answer: Future[None]) -> None:  # noqa: FBT001 - by partial
        self._publisher.desk().declare(channel, [self._topology.paused])
        act = channel.queue_bind if paused else channel.queue_unbind
        act(self._topology.paused, self._topology.paused, queue, callback=_ignore)
        act(self._topology.paused, self._topology.paused_any, queue, callback=lambda _: answer.set_result(None))


def _ignore(_frame: object) -> None:
    """Answered in order: the next answer says that this was done too."""
