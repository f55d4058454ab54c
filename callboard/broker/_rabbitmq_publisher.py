"""Publishing with confirmations: all of a batch is sent at once, and then all confirmations are awaited."""

from __future__ import annotations

import threading
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import pika
from dramatiq.errors import ConnectionClosed

from callboard.broker._rabbitmq_link import result_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from pika.channel import Channel
    from pika.frame import Method
    from pika.spec import Basic, BasicProperties

    from callboard.broker._rabbitmq_link import Link, Session
    from callboard.broker._rabbitmq_topology import Route, Topology

#: Messages handed to the connection's thread at a time, so that it also reads and beats.
_CHUNK = 500
_CHUNKS_UNDER_WAY = 8


class Letter(NamedTuple):
    """A message on its way to a queue; `headers` are those of RabbitMQ; written to disk if it is `lasting`."""

    route: Route
    body: bytes
    id: str = ""
    headers: dict[str, Any] | None = None
    lasting: bool = True


class Publisher:
    """Sends letters over one link.

    Args:
        link: Used for nothing else: a server short of memory stops reading from connections that publish.
        topology: Declares what a letter needs.
    """

    def __init__(self, link: Link, topology: Topology) -> None:
        self._link = link
        self._topology = topology
        self._desk: _Desk | None = None
        self._lock = threading.Lock()

    def send(self, letters: Sequence[Letter]) -> None:
        """Send all, and return when the server has confirmed all.

        Raises:
            ConnectionClosed: It did not confirm all; which ones it took is unknown.
        """
        returned = self.attempt(letters)
        if returned and self.attempt(returned):  # by then the queue was declared again
            raise ConnectionClosed(f"RabbitMQ has no queue for {returned[0].route.key!r}, though it was declared")

    def attempt(self, letters: Sequence[Letter]) -> list[Letter]:
        """Send all, and return those that no queue took.

        Raises:
            ConnectionClosed: The server did not confirm all.
        """
        desk, returned = self.desk(), list[Letter]()
        answers: list[Future[list[Letter]]] = []
        for start in range(0, len(letters), _CHUNK):
            if len(answers) >= _CHUNKS_UNDER_WAY:
                returned = [*returned, *result_of(answers.pop(0), desk.session)]
            answers.append(desk.session.ask(partial(desk.publish, letters[start : start + _CHUNK])))
        return returned + [letter for answer in answers for letter in result_of(answer, desk.session)]

    def desk(self) -> _Desk:
        """The sending side of the open session."""
        session = self._link.session()
        with self._lock:
            if self._desk is None or self._desk.session is not session:
                self._desk = _Desk(session, self._topology)
            return self._desk


class _Batch:
    def __init__(self, answer: Future[list[Letter]], letters: Sequence[Letter]) -> None:
        self.answer = answer
        self.left = len(letters)
        self.returned: list[Letter] = []
        self.refused = False

    def confirm(self, *, taken: bool) -> None:
        self.left -= 1
        self.refused |= not taken
        if self.left or self.answer.done():
            return
        if self.refused:
            self.answer.set_exception(ConnectionClosed("RabbitMQ refused a message: the queue has no majority"))
        else:
            self.answer.set_result(self.returned)


class _Desk:
    """Counts the letters of one session and its confirmations; all in the session's thread."""

    def __init__(self, session: Session, topology: Topology) -> None:
        self.session = session
        self._topology = topology
        self._serial = 0
        self._waiting: dict[int, tuple[_Batch, Letter]] = {}
        self._declared: set[str] = set()
        session.post(self._open)

    def _open(self, channel: Channel) -> None:
        channel.confirm_delivery(self._on_confirm)
        channel.add_on_return_callback(self._on_return)

    def publish(self, letters: Sequence[Letter], channel: Channel, answer: Future[list[Letter]]) -> None:
        """Send letters; the answer is those that no queue took."""
        batch = _Batch(answer, letters)
        for letter in letters:
            self.declare(channel, letter.route.needs)
            self._serial += 1
            self._waiting[self._serial] = (batch, letter)
            channel.basic_publish(letter.route.exchange, letter.route.key, letter.body, self._properties(letter), True)

    def _properties(self, letter: Letter) -> BasicProperties:
        return pika.BasicProperties(  # type: ignore[no-untyped-call] # pika's is not typed
            content_type="application/json",
            delivery_mode=(pika.DeliveryMode.Persistent if letter.lasting else pika.DeliveryMode.Transient).value,
            message_id=letter.id or None,
            correlation_id=str(self._serial),  # names the letter if it is returned
            headers=letter.headers,
        )

    def declare(self, channel: Channel, needs: Sequence[str]) -> None:
        """Declare what this session has not declared yet."""
        for what in needs:
            if what not in self._declared:
                self._topology.declare(channel, what)
                self._declared.add(what)

    def _on_confirm(self, frame: Method[Any]) -> None:
        confirmation: Basic.Ack | Basic.Nack = frame.method
        last: int = confirmation.delivery_tag
        serials = list(takewhile(lambda serial: serial <= last, self._waiting)) if confirmation.multiple else [last]
        for serial in serials:
            batch, _ = self._waiting.pop(serial)
            batch.confirm(taken=confirmation.NAME == pika.spec.Basic.Ack.NAME)

    def _on_return(self, _channel: Channel, _method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        batch, letter = self._waiting[int(properties.correlation_id)]  # its confirmation comes after this
        batch.returned.append(letter)
        if letter.lasting:
            self._declared.clear()  # somebody deleted a queue
