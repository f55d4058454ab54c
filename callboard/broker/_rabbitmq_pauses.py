"""Which queues are paused: a durable stream of what was paused and resumed, that every process reads from its start.

A stream is a log: reading takes nothing away, and what is appended reaches all readers at once. A pause is a few dozen
bytes, so the stream is never cut. Where it ends at the start of a session, a second consumer tells, which begins with
the last entry (RabbitMQ's count of a stream's messages lags behind); whoever finds no entry at all makes the first.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import structlog
from dramatiq.errors import ConnectionClosed

from callboard.broker._rabbitmq_publisher import Letter
from callboard.broker._rabbitmq_topology import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.channel import Channel
    from pika.frame import Method
    from pika.spec import Basic, BasicProperties

    from callboard.broker._rabbitmq_link import Session
    from callboard.broker._rabbitmq_publisher import Publisher
    from callboard.broker._rabbitmq_topology import Topology

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_ECHO_SECONDS = 10.0
# A stream that sends nothing for so long is probably empty; if it is not, one more entry does no harm.
_EMPTY_SECONDS = 0.2


class Pauses:
    """Follows the stream over one session.

    Args:
        session: The consuming one.
        topology: Names and declares the stream.
        publisher: Appends to it.
        changed: Called after each change, in the session's thread.
    """

    def __init__(self, session: Session, topology: Topology, publisher: Publisher, changed: Callable[[], None]) -> None:
        self.names: frozenset[str] = frozenset()
        self._session = session
        self._stream = topology.settings
        self._topology = topology
        self._publisher = publisher
        self._on_change = changed
        self._arrived = threading.Condition()
        self._read = -1
        self._last: int | None = None
        self._awaited: set[str] = set()
        session.ended.add_done_callback(lambda _: self._tell())
        session.post(self._follow)

    def known(self, timeout: float) -> bool:
        """Whether all that was in the stream at the session's start has been read; waits for it.

        Raises:
            ConnectionClosed: RabbitMQ did not take the first entry of an empty stream.
        """
        if self._wait_for(self._is_known, min(timeout, _EMPTY_SECONDS)):
            return self._session.reason is None
        if self._last is None:
            self._append(None, paused=False)
        return self._wait_for(self._is_known, timeout) and self._session.reason is None

    def change(self, queue: str, *, paused: bool) -> None:
        """Append to the stream, and wait until it has come back.

        Raises:
            ConnectionClosed: It did not; the change may have been made or not, and may be repeated.
        """
        name = self._append(queue, paused=paused)
        if not self._wait_for(lambda: name not in self._awaited, _ECHO_SECONDS):
            raise ConnectionClosed(f"RabbitMQ did not send back what was appended to {self._stream!r}")

    def _append(self, queue: str | None, *, paused: bool) -> str:
        name = uuid4().hex
        self._awaited.add(name)
        body = orjson.dumps({"id": name, "queue": queue, "paused": paused})
        self._publisher.send([Letter(Route("", self._stream, (self._stream,)), body)])
        return name

    def _wait_for(self, check: Callable[[], bool], timeout: float) -> bool:
        with self._arrived:
            return self._arrived.wait_for(check, timeout)

    def _is_known(self) -> bool:
        return self._session.reason is not None or (self._last is not None and self._read >= self._last)

    def _tell(self) -> None:
        with self._arrived:
            self._arrived.notify_all()

    def _follow(self, channel: Channel) -> None:
        self._topology.declare(channel, self._stream)
        channel.basic_qos(prefetch_count=100)
        self._end_consumer = channel.basic_consume(self._stream, self._on_last, arguments={"x-stream-offset": "last"})
        channel.basic_consume(self._stream, self._on_event, arguments={"x-stream-offset": "first"})

    def _on_last(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, _body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        with self._arrived:
            if self._last is None:
                self._last = _offset(properties)
                channel.basic_cancel(self._end_consumer)
            self._arrived.notify_all()

    def _on_event(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        channel.basic_ack(method.delivery_tag)
        with self._arrived:
            self._read = _offset(properties)
            self._apply(body)
            self._arrived.notify_all()
        self._on_change()

    def _apply(self, body: bytes) -> None:
        try:
            event: dict[str, Any] = orjson.loads(body)
            queue = {event["queue"]} - {None}
            self.names = self.names | queue if event["paused"] else self.names - queue
            self._awaited.discard(str(event["id"]))
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("broker.settings_unreadable", stream=self._stream, error=str(error))


def _offset(properties: BasicProperties) -> int:
    return int(properties.headers["x-stream-offset"])
