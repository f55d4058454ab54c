"""What RabbitMQ has sent to this process over one session: waiting here to be fetched, or in the worker's hands.

RabbitMQ pushes. Each queue is consumed with a credit, the number of messages that may be unsettled at once; it begins
as the queue's share of its lane's room, doubles while that is too little, and falls to what the worker can take when
messages have lain here for too long. Those go back, so that no message waits behind a slow neighbour while another
worker is idle.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

from dramatiq.errors import ConnectionClosed

from callboard.broker._rabbitmq_link import cancel, result_of
from callboard.broker.codec import decode
from callboard.broker.delivery import Delivery
from callboard.envelope import KEY, delivery_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from pika.channel import Channel
    from pika.spec import Basic, BasicProperties

    from callboard.broker._rabbitmq_link import Session
    from callboard.broker._rabbitmq_topology import Topology
    from callboard.broker.delivery import Lane

#: Seconds that a message may lie here before it goes back.
STALE_SECONDS: Final = 0.5
#: A fetch that had to subscribe first gives the server so many seconds to send something.
_FIRST_WAIT_SECONDS: Final = 0.1
#: More unsettled messages than this of one queue would not make a worker faster.
_LARGEST_CREDIT: Final = 1000
#: Header of a message that was given back: its crashes until then.
CRASHES: Final = "callboard-crashes"


@dataclass(slots=True, eq=False)
class TaggedDelivery(Delivery):
    """A delivery with the inbox it came through, and RabbitMQ's number of it there."""

    inbox: Inbox | None = None
    tag: int = 0


class _Parcel(NamedTuple):
    tag: int
    body: bytes
    properties: BasicProperties
    arrived: float


@dataclass(slots=True)
class _Shelf:
    """One queue: its parcels by band, its consumers, and how many of its messages the worker has."""

    queue: str
    bands: tuple[deque[_Parcel], ...] = field(default_factory=lambda: (deque(), deque(), deque()))
    consumers: tuple[str, ...] = ()
    credit: int = 0
    held: int = 0

    def waiting(self) -> int:
        return sum(map(len, self.bands))

    def stale_since(self) -> float:
        return min((band[0].arrived for band in self.bands if band), default=time.monotonic())


class Inbox:
    """Everything of one session; thread-safe.

    Args:
        session: Used for consuming only.
        topology: Names and declares the queues.
        paused: Asked for the queues that are paused.
        limits: How many messages of a queue this process may hold; the broker's own mapping.
    """

    def __init__(
        self,
        session: Session,
        topology: Topology,
        paused: Callable[[], Collection[str]],
        limits: Mapping[str, int | None],
    ) -> None:
        self.session = session
        self._topology = topology
        self._paused = paused
        self._limits = limits
        self._changed = threading.Condition()
        self._shelves: dict[str, _Shelf] = {}
        self._unsettled: dict[int, None] = {}
        self._out: dict[int, TaggedDelivery] = {}
        self._interrupts = 0
        self._turn = 0
        self._closed = False
        session.post(lambda channel: channel.add_on_cancel_callback(self._on_cancelled))
        session.ended.add_done_callback(lambda _: self.notify())

    def notify(self) -> None:
        """Make the waiting fetches look again."""
        with self._changed:
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Make the waiting fetches return."""
        with self._changed:
            self._interrupts += 1
            self._changed.notify_all()

    # Fetching

    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[TaggedDelivery] | None:
        """Take messages; see `Transport.fetch`. None when it was interrupted."""
        deadline = time.monotonic() + timeout
        with self._changed:
            interrupts = self._interrupts
            while True:
                found = [delivery for lane in lanes for delivery in self._take(lane)]
                if self._subscribe_all(lanes, found):
                    deadline = max(deadline, time.monotonic() + _FIRST_WAIT_SECONDS)
                patience = deadline - time.monotonic()
                if interrupts != self._interrupts:
                    return found or None
                if found or patience <= 0:
                    return found
                if self.session.reason is not None:
                    raise ConnectionClosed(self.session.reason)
                self._changed.wait(patience)

    def _take(self, lane: Lane) -> list[TaggedDelivery]:
        turn, found = self._turn % len(lane.queues), list[TaggedDelivery]()
        for queue in (*lane.queues[turn:], *lane.queues[:turn]):
            shelf = self._shelf(queue)
            room = self._room(shelf, lane.room - len(found))
            for band in shelf.bands:
                count = min(len(band), room)
                found += [self._hand_out(shelf, band.popleft()) for _ in range(count)]
                room -= count
        self._turn += 1
        return found

    def _shelf(self, queue: str) -> _Shelf:
        shelf = self._shelves.get(queue)
        if shelf is None:
            shelf = self._shelves[queue] = _Shelf(queue)
        return shelf

    def _room(self, shelf: _Shelf, room: int) -> int:
        if self._closed or shelf.queue in self._paused():
            return 0
        limit = self._limits.get(shelf.queue)
        return max(room if limit is None else min(room, limit - shelf.held), 0)

    def _hand_out(self, shelf: _Shelf, parcel: _Parcel) -> TaggedDelivery:
        delivery = _delivery(self, shelf.queue, parcel)
        self._out[parcel.tag] = delivery
        shelf.held += 1
        return delivery

    # Consuming

    def _subscribe_all(self, lanes: Sequence[Lane], found: Collection[TaggedDelivery]) -> bool:
        """Whether any queue had to be subscribed to, or with more credit."""
        changed = False
        for lane in lanes:
            queues = set(lane.queues)
            left = lane.room - sum(delivery.queue in queues for delivery in found)
            for queue in lane.queues:
                changed |= left > 0 and self._subscribe(self._shelf(queue), left, len(lane.queues))
        return changed

    def _subscribe(self, shelf: _Shelf, left: int, share: int) -> bool:
        room = min(self._room(shelf, left), _LARGEST_CREDIT)
        if room == 0:
            return False
        if not shelf.consumers:
            self._consume(shelf, min(shelf.credit, room) or max(room // share, 1))
        elif not shelf.waiting() and shelf.credit <= shelf.held < _LARGEST_CREDIT:
            self._consume(shelf, min(2 * shelf.credit, shelf.held + room))
        else:
            return False
        return True

    def _consume(self, shelf: _Shelf, credit: int) -> None:
        """Consume a queue with this credit from now on; what was sent before stays here."""
        old, shelf.consumers, shelf.credit = shelf.consumers, tuple(uuid4().hex for _ in shelf.bands), credit
        tags = shelf.consumers

        def act(channel: Channel) -> None:
            cancel(channel, old)
            self._topology.declare(channel, shelf.queue)
            channel.basic_qos(prefetch_count=credit)
            for name, band, tag in zip(self._topology.bands(shelf.queue), shelf.bands, tags, strict=True):
                channel.basic_consume(name, partial(self._on_message, band), consumer_tag=tag)

        self.session.post(act)

    def _on_message(
        self, band: deque[_Parcel], _channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes
    ) -> None:
        with self._changed:
            self._unsettled[method.delivery_tag] = None
            band.append(_Parcel(method.delivery_tag, body, properties, time.monotonic()))
            self._changed.notify_all()

    def _on_cancelled(self, _frame: Any) -> None:  # noqa: ANN401 - pika names no type for it
        """A queue was deleted; consumed anew over the same channel, RabbitMQ 3.10 sends nothing."""
        self.session.abandon(ConnectionClosed("a queue was deleted in RabbitMQ while it was consumed"))

    def _stop(self, shelf: _Shelf) -> None:
        old, shelf.consumers = shelf.consumers, ()
        self.session.post(lambda channel: cancel(channel, old))

    # Settling

    def stale(self) -> list[TaggedDelivery]:
        """What has lain here too long, now held, to be given back; a fetch with room consumes its queue again."""
        found, before = [], time.monotonic() - STALE_SECONDS
        with self._changed:
            for shelf in self._shelves.values():
                if shelf.waiting() and shelf.stale_since() < before:
                    self._stop(shelf)
                    shelf.credit = max(shelf.held, 1)
                    found += [self._hand_out(shelf, parcel) for band in shelf.bands for parcel in _emptied(band)]
        return found

    def empty(self) -> list[TaggedDelivery]:
        """All that is here or in the worker's hands, to be given back; nothing more comes.

        Raises:
            ConnectionClosed: The session has ended, and RabbitMQ has taken all back.
        """
        with self._changed:
            self._closed = True
            for shelf in self._shelves.values():
                self._stop(shelf)
        result_of(self.session.ask(_after_all), self.session)
        with self._changed:
            for shelf in self._shelves.values():
                for parcel in (parcel for band in shelf.bands for parcel in _emptied(band)):
                    self._hand_out(shelf, parcel)
            return list(self._out.values())

    def mine(self, delivery: Delivery) -> TaggedDelivery | None:
        """The delivery, if it came through this inbox, which is still open, and was not settled."""
        if self.session.reason is not None:
            return None  # the server has given it to others already
        if isinstance(delivery, TaggedDelivery) and delivery.inbox is self and delivery.tag in self._out:
            return delivery
        return None

    def held(self, queue: str) -> int:
        """How many messages of the queue are here, in the worker's hands or not."""
        with self._changed:
            shelf = self._shelves.get(queue)
            return 0 if shelf is None else shelf.held + shelf.waiting()

    def acknowledge(self, deliveries: Iterable[TaggedDelivery]) -> None:
        """Settle deliveries for good; those settled before are left alone."""
        with self._changed:
            settled = set[int]()
            for delivery in deliveries:
                if self._out.pop(delivery.tag, None):
                    self._shelves[delivery.queue].held -= 1
                    settled.add(delivery.tag)
            self._post_acks(self._acks(settled))
            self._changed.notify_all()

    def _post_acks(self, acks: list[tuple[int, bool]]) -> None:
        def act(channel: Channel) -> None:
            for tag, several in acks:
                channel.basic_ack(tag, several)

        self.session.post(act)

    def _acks(self, settled: set[int]) -> list[tuple[int, bool]]:
        """The fewest acknowledgements: one for all up to the first that is still unsettled, and then one by one."""
        acks, upto = [], 0
        for tag in list(self._unsettled):
            if tag not in settled:
                break
            upto = tag
            del self._unsettled[tag]
            settled.discard(tag)
        if upto:
            acks.append((upto, True))
        for tag in settled:
            del self._unsettled[tag]
            acks.append((tag, False))
        return acks


def _emptied(band: deque[_Parcel]) -> list[_Parcel]:
    parcels = list(band)
    band.clear()
    return parcels


def _after_all(channel: Channel, answer: Future[None]) -> None:
    """Answer when the server has answered whatever was asked before; what it sent before that has then arrived."""
    channel.basic_qos(prefetch_count=1, callback=lambda _: answer.set_result(None))


def _delivery(inbox: Inbox, queue: str, parcel: _Parcel) -> TaggedDelivery:
    """A message and how often it crashed: what RabbitMQ counted since it was given back, and what was counted before.

    RabbitMQ may double a message that it moved after a delay, and we one that we gave back, if the server or we crash
    right then; these are marked `unsure`, so that the ledger is asked before they run.
    """
    headers: dict[str, Any] = parcel.properties.headers or {}
    message, defect = decode(parcel.body, queue)
    if message is None:
        name = parcel.properties.message_id or hashlib.sha256(parcel.body).hexdigest()[:32]
    else:
        name = delivery_id(message)
        if CRASHES in headers or "x-death" in headers:
            message.options[KEY] = {**(message.options.get(KEY) or {}), "unsure": True}
    crashes = _count(headers, CRASHES) + _count(headers, "x-delivery-count")
    return TaggedDelivery(name, queue, parcel.body, message, crashes, defect, inbox, parcel.tag)


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name, 0)
    return value if isinstance(value, int) else 0
