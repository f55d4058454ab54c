"""RabbitMQ in the suite: what its server cannot know, the cases ask otherwise, or are named here with the reason."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, ClassVar, cast

from callboard.broker._rabbitmq_publisher import Letter
from callboard.broker._rabbitmq_topology import NORMAL
from callboard.broker.rabbitmq import RabbitBroker
from tests.conformance.rigs import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.broker import Transport

_numbers = count(1)


class RabbitRig(Rig):
    """Our broker on a real RabbitMQ."""

    fails: ClassVar[Mapping[str, str]] = {}
    far_ms = 3 * 365 * 86_400_000

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.namespace = f"conformance-{next(_numbers)}"

    def _open(self) -> Transport:
        return RabbitBroker(url=self.url, middleware=[], namespace=self.namespace)

    def another(self) -> Rig:
        return RabbitRig(self.url)

    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        topology, publisher, _ = cast("RabbitBroker", self.opened[0])._made
        publisher.send([Letter(topology.route(queue, NORMAL), body, delivery)])

    def expire(self, worker: Transport) -> None:
        """A worker is dead when its connection is."""
        opened = cast("RabbitBroker", worker)._inbox
        assert opened is not None, "it has fetched nothing"
        connection = opened[0].session._connection
        connection.ioloop.add_callback_threadsafe(connection._transport.abort)

    def seconds(self, told: float) -> float:
        """Nobody can hasten what waits in RabbitMQ, so it waits for a 2,000th of the time."""
        return told / 2_000

    def hasten(self, seconds: float) -> None:
        """It comes by itself, see `seconds`."""
