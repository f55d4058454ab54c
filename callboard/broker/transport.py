"""What a Callboard broker can do: the contract of the Redis, the RabbitMQ and the in-memory one.

Every broker is a `dramatiq.Broker`, so the stock worker can consume from it, one consumer a queue. Callboard's own
worker asks for more: one blocking fetch for all its queues, and one round trip to settle a whole batch.

Who owns a message:

    enqueue ──▶ waiting ──fetch──▶ held by one worker ──settle──▶ gone          (Acknowledge)
                 ▲   ▲                    │  │  └──────────────▶ delayed        (Resend: a later attempt)
                 │   └────── due ◀── delayed │
                 └──────── given back ◀──────┘                                  (GiveBack, or the worker's lease ended)
"""

from __future__ import annotations

from abc import abstractmethod
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

import structlog
from dramatiq import Broker, Middleware
from dramatiq.errors import QueueNotFound
from dramatiq.middleware import MiddlewareError

from callboard.broker.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from dramatiq import Message
    from dramatiq.broker import Consumer as StockConsumer

    from callboard.broker.delivery import Delayed, Delivery, Depth, Lane
    from callboard.outcome import Settlement

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_EnqueueMany = TypeVar("_EnqueueMany", bound="Callable[..., list[Message[Any]]]")


def announced(enqueue_many: _EnqueueMany) -> _EnqueueMany:
    """Let middleware with an `around_enqueue(broker, batch, delay)` see a batch before it leaves.

    What such a hook returns, if anything, is called when the batch has left, with None, or with what was raised.
    """

    @wraps(enqueue_many)
    def enqueue(self: Transport, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        batch = list(messages)
        ends = self.begin_enqueue(batch, delay)
        try:
            sent = enqueue_many(self, batch, delay=delay)
        except BaseException as error:
            for end in ends:
                end(error)
            raise
        for end in ends:
            end(None)
        return sent

    return cast("_EnqueueMany", enqueue)


class Transport(Broker):
    """Base of the brokers; see the top of this module.

    Every method that talks to the server raises `dramatiq.errors.ConnectionClosed` when it cannot be reached.
    """

    #: False where the server cannot be asked whether it holds a message; then `has` answers True.
    knows_contents = True

    def __init__(self, middleware: list[Middleware] | None = None) -> None:
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self._hooked: list[Middleware] = []
        super().__init__(middleware=middleware)
        self.queues: set[str] = set()
        self.broker_id = str(uuid4())
        #: Deliveries in the hands of this process, by id: what its pulse compares with the server's list.
        self.known: dict[str, Delivery] = {}
        #: False once the worker is stopping: nothing new is taken.
        self.accepting = True
        #: What becomes of a delivery that cannot be read; the dead-letter middleware sets it.
        self.on_defect: Callable[[Delivery], Settlement | None] | None = None
        #: Told of messages that the server took.
        self.on_enqueued: Callable[[Sequence[Message[Any]]], None] | None = None
        #: Told of a moment, in seconds from now, before which `pulse` should be called; the pulse loop sets it.
        self.expect_pulse: Callable[[float], None] = _nobody_listens

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message, unless the broker holds one of this id already, where it can tell.

        Args:
            message: What to enqueue.
            delay: Milliseconds until it may be delivered.

        Raises:
            ArgumentsError: It is not JSON, or too large.
            ConnectionClosed: The broker may or may not have taken it; the same message may be sent again.
        """
        return self.enqueue_many([message], delay=delay)[0]

    @abstractmethod
    def enqueue_many(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        """Enqueue messages in one round trip; `delay` in milliseconds as in `enqueue`. All are taken, or it raises."""

    @abstractmethod
    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[Delivery]:
        """Take messages, at most `room` for each lane; wait up to `timeout` seconds for the first one.

        Queues of a lane take turns at being first. Thread-safe; empty when nothing came, or after `interrupt`.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make the fetches that wait in this process return at once."""

    @abstractmethod
    def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        """Do with each delivery what was decided, in one round trip. Safe to repeat after an error.

        A delivery that this process does not hold any more (its lease had ended) is left alone.
        """

    @abstractmethod
    def pulse(self, held: Collection[str] | None = None) -> float:
        """Renew this process's lease, move what is due, take over from the dead.

        Args:
            held: Ids of the deliveries this process knows it holds. What the broker thinks it holds besides, twice in
                a row, goes back to its queue: the reply that brought it was lost. None: the caller does not know.

        Returns:
            Seconds after which it wants to be called again, at most `heartbeat_seconds`.
        """

    @abstractmethod
    def leave(self) -> None:
        """Give back whatever this process holds, and end its lease."""

    @abstractmethod
    def has(self, deliveries: Iterable[tuple[str, str]]) -> list[bool]:
        """For each (queue, delivery id): does the broker still hold it, ready, claimed or delayed?"""

    @abstractmethod
    def alive(self) -> set[str]:
        """The `broker_id` of every process whose lease runs."""

    @abstractmethod
    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """How many messages of each queue are where; the cost does not grow with their number."""

    @abstractmethod
    def delayed(self, queue: str, *, limit: int = 100) -> list[Delayed]:
        """Messages of a queue that wait for their time, the next one first."""

    @abstractmethod
    def drop(self, queue: str, delivery: str) -> bool:
        """Forget a message that waits, ready or delayed; False if it does not wait (any more)."""

    @abstractmethod
    def pause(self, queue: str) -> None:
        """Hand out nothing of this queue from now on, anywhere; it still takes messages."""

    @abstractmethod
    def resume(self, queue: str) -> None:
        """End `pause`."""

    @abstractmethod
    def paused(self) -> set[str]:
        """The queues that are paused."""

    @abstractmethod
    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Bound how many messages of a queue may be held at once over all workers; None lifts the bound."""

    def reject(self, delivery: Delivery) -> None:
        """Put a delivery that cannot be read where people find it, and forget it; else it stays with us, and unread."""
        logger.error("message.unreadable", queue=delivery.queue, delivery=delivery.id, defect=delivery.defect)
        settlement = None if self.on_defect is None else self.on_defect(delivery)
        if settlement is not None:
            self.settle([(delivery, settlement)])
            self.known.pop(delivery.id, None)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> StockConsumer:
        """A consumer of one queue, for the stock worker.

        Raises:
            QueueNotFound: The queue was never declared.
        """
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        return Consumer(self, queue_name, prefetch, timeout)

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known to this process; nothing is sent to the server."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        """The queues this process knows."""
        return set(self.queues)

    def get_declared_delay_queues(self) -> set[str]:
        """None: a delayed message waits on the server, under its own queue's name."""
        return set()

    def hooks(self, name: str) -> list[Callable[..., Any]]:
        """The middleware methods of this name that do something, in the stack's order; found once, not at each call."""
        if self._hooked != self.middleware:
            self._hooks = {}
            self._hooked = list(self.middleware)
        found = self._hooks.get(name)
        if found is None:
            idle = getattr(Middleware, name, None)
            found = [
                getattr(middleware, name)
                for middleware in self.middleware
                if getattr(type(middleware), name, None) is not idle or name in vars(middleware)
            ]
            self._hooks[name] = found
        return found

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Dramatiq's signature
        """Call every `before_<signal>`; as Dramatiq does, but only where a middleware has one."""
        for hook in self.hooks("before_" + signal):
            try:
                hook(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:  # as Dramatiq does
                self.logger.critical("Unexpected failure in before_%s of %r.", signal, hook, exc_info=True)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Dramatiq's signature
        """Call every `after_<signal>`, the last middleware first."""
        for hook in reversed(self.hooks("after_" + signal)):
            try:
                hook(self, *args, **kwargs)
            except Exception:  # as Dramatiq does
                self.logger.critical("Unexpected failure in after_%s of %r.", signal, hook, exc_info=True)

    def begin_enqueue(
        self, batch: Sequence[Message[Any]], delay: int | None
    ) -> list[Callable[[BaseException | None], None]]:
        """Call every `around_enqueue`; what one of them raises is logged, as that of Dramatiq's hooks is."""
        ends = []
        for hook in self.hooks("around_enqueue"):
            try:
                end = hook(self, batch, delay)
            except Exception:
                self.logger.critical("Unexpected failure in around_enqueue of %r.", hook, exc_info=True)
            else:
                ends += [] if end is None else [end]
        return ends

    def priority_of(self, message: Message[Any]) -> int:
        """Its own priority, or else that of its job; lower goes first."""
        given = message.options.get("priority")
        if given is not None:
            return int(given)
        actor = self.actors.get(message.actor_name)
        return 0 if actor is None else actor.priority

    def enqueued(self, batch: Sequence[Message[Any]], delay: int | None) -> None:
        """Tell the middleware, and whoever counts, that the server took a batch; for the brokers themselves."""
        for message in batch:
            self.emit_after("enqueue", message, delay)
        if self.on_enqueued is not None:
            self.on_enqueued(batch)


def _nobody_listens(_seconds: float) -> None:
    """What a transport without a pulse loop tells."""
