"""Dramatiq's Redis broker with the holes closed that lose messages: the seam between Dramatiq and the ledger.

What is added to the stock broker:

- *Settlement.* The run-record middleware says what becomes of a message (`callboard.outcome`); the consumer does it. A
  retry is enqueued and its old delivery forgotten in one MULTI, so neither can happen without the other.
- *Deliveries have names.* A message's id in Redis is `<message id>.<n>`, n counting its retries: the ledger can ask
  whether a message is still there, and enqueuing the same delivery twice is told apart.
- *Timed sweep.* Stock Dramatiq gives back a dead worker's messages by a lottery of 1 in 1,000 commands; here `sweep`
  does it on a timer, for every queue.
- *Nothing new while stopping.* A stock consumer goes on fetching until the last job has ended.
- *Late connection.* Nothing is connected, and no setting read, before the first command.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import redis
from dramatiq import Broker
from dramatiq.brokers.redis import RedisBroker as StockBroker
from dramatiq.brokers.redis import _RedisConsumer as StockConsumer
from dramatiq.brokers.redis import _scripts as stock_scripts
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import ConnectionClosed

from callboard.embedded import read_endpoints
from callboard.envelope import delivery_id
from callboard.outcome import Acknowledge, GiveBack, Resend
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dramatiq import Message, Middleware
    from dramatiq.broker import Consumer as AnyConsumer
    from dramatiq.broker import MessageProxy
    from redis.client import Pipeline

    from callboard.settings import Settings

# A consumer asks for new messages this often when there are none; the next broker blocks on the server instead.
IDLE_TIMEOUT_MS = 100
# Stock dead letters are not used, so nothing of ours may ever expire there.
_NEVER_MS = 10 * 366 * 86_400_000
_DISCONNECTED = (redis.ConnectionError, redis.TimeoutError)


class Depth(NamedTuple):
    """Messages of one queue by where they are, and since when the oldest ready one waits (seconds)."""

    ready: int
    claimed: int
    delayed: int
    oldest_ready_seconds: float


def broker_url(settings: Settings) -> str:
    """The URL of the broker: the one that is set, or that of the embedded server that is running.

    Raises:
        LookupError: Neither is there; the message says what to do.
    """
    if settings.broker_url is not None:
        return settings.broker_url
    endpoints = read_endpoints(settings.home)
    if endpoints is None:
        raise LookupError(
            f"No broker: CALLBOARD_BROKER_URL is not set and no embedded server runs under {settings.home}. "
            "Set it, or start one with `callboard up`."
        )
    return endpoints.broker_url


class RedisBroker(StockBroker):
    """The broker on Redis or Valkey; see the top of this module.

    Args:
        url: Where it is; None: read from the settings at the first command.
        middleware: The stack, in order.
        namespace: Prefix of all keys; None: from the settings.
    """

    def __init__(
        self, *, url: str | None = None, middleware: list[Middleware] | None = None, namespace: str | None = None
    ) -> None:
        Broker.__init__(self, middleware=middleware)  # the stock constructor connects, and wants to know where to
        self.broker_id = str(uuid4())
        self.maintenance_chance = 0
        self.dead_message_ttl = _NEVER_MS
        self.queues: set[str] = set()
        self.accepting = True
        self._url = url
        self._namespace = namespace
        self._client: redis.Redis | None = None

    @property
    def client(self) -> redis.Redis:  # type: ignore[override]  # an attribute in the stock broker, made late here
        """The connection pool, made when it is first needed."""
        if self._client is None:
            settings = get_settings()
            url = self._url or broker_url(settings)
            self._client = redis.Redis.from_url(url, health_check_interval=30, socket_connect_timeout=5)
            self.namespace = self._namespace or settings.broker_namespace
            self.heartbeat_timeout = int(settings.lease_seconds * 1000)
            self.scripts = {name: self._client.register_script(body) for name, body in stock_scripts.items()}
        return self._client

    @property
    def consumer_class(self) -> type[StockConsumer]:
        """What reads a queue."""
        return Consumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = IDLE_TIMEOUT_MS) -> AnyConsumer:
        """Read a queue; `timeout` is cut to `IDLE_TIMEOUT_MS`, because an idle consumer sleeps for it."""
        return super().consume(queue_name, prefetch, min(timeout, IDLE_TIMEOUT_MS))

    def _dispatch(self, command: str) -> Any:  # noqa: ANN401 - the stock broker's private hook is not typed
        _ = self.client
        return super()._dispatch(command)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message under its delivery id.

        Args:
            message: What to enqueue.
            delay: Milliseconds until it may be delivered.

        Raises:
            ConnectionClosed: The broker did not take it.
        """
        message = self._addressed(message, delay)
        self.emit_before("enqueue", message, delay)
        try:
            self._call("enqueue", message.queue_name, message.options["redis_message_id"], message.encode())
        except _DISCONNECTED as error:
            raise ConnectionClosed(error) from None
        self.emit_after("enqueue", message, delay)
        return message

    @staticmethod
    def _addressed(message: Message[Any], delay: int | None) -> Message[Any]:
        options: dict[str, Any] = {"redis_message_id": delivery_id(message)}
        if delay is None:
            return message.copy(options=options)
        options["eta"] = current_millis() + delay
        return message.copy(queue_name=dq_name(message.queue_name), options=options)

    def _call(self, command: str, queue: str, *args: Any, pipe: Pipeline | None = None) -> Any:  # noqa: ANN401 - Lua's
        client = self.client
        given = [command, current_millis(), queue, self.broker_id, self.heartbeat_timeout, self.dead_message_ttl]
        return self.scripts["dispatch"](
            args=[*given, int(command == "sweep"), self._max_unpack_size(), *args],
            keys=[self.namespace],
            client=pipe or client,
        )

    def resend(self, queue: str, delivery: str, message: Message[Any], delay: float) -> None:
        """Enqueue `message` anew and forget the delivery it came by, in one transaction."""
        fresh = self._addressed(message, int(delay * 1000))
        self.emit_before("enqueue", fresh, int(delay * 1000))
        self._max_unpack_size()
        with self.client.pipeline(transaction=True) as pipe:
            self._call("enqueue", fresh.queue_name, fresh.options["redis_message_id"], fresh.encode(), pipe=pipe)
            self._call("ack", queue, delivery, pipe=pipe)
            pipe.execute()
        self.emit_after("enqueue", fresh, int(delay * 1000))

    def heartbeat(self) -> None:
        """Tell the broker that this process lives, busy or not."""
        self.client.zadd(f"{self.namespace}:__heartbeats__", {self.broker_id: current_millis()})

    def sweep(self) -> None:
        """Give back what workers without a heartbeat for `lease_seconds` had fetched, in every declared queue.

        A command that the stock script does not know does its maintenance and nothing else.
        """
        for queue in self._all_queues():
            self._call("sweep", queue)
        self.client.zrem(f"{self.namespace}:__heartbeats__", self.broker_id)

    def _all_queues(self) -> list[str]:
        return [name for queue in sorted(self.queues) for name in (queue, dq_name(queue))]

    def has(self, deliveries: Iterable[tuple[str, str]]) -> list[bool]:
        """For each (queue, delivery): does the broker still hold it, ready, claimed or delayed?"""
        wanted = list(deliveries)
        client = self.client
        with client.pipeline(transaction=False) as pipe:
            for queue, delivery in wanted:
                pipe.hexists(f"{self.namespace}:{queue}.msgs", delivery)
                pipe.hexists(f"{self.namespace}:{dq_name(queue)}.msgs", delivery)
            found = iter(pipe.execute())
        return [bool(plain) | bool(delayed) for plain, delayed in zip(found, found, strict=True)]

    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """How many messages of each queue are ready, claimed by a worker, and delayed."""
        names = list(queues)
        client = self.client
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                key, delayed = f"{self.namespace}:{name}", f"{self.namespace}:{dq_name(name)}"
                pipe.llen(key)
                pipe.hlen(f"{key}.msgs")
                pipe.hlen(f"{delayed}.msgs")
                pipe.lindex(key, 0)
            answers = iter(pipe.execute())
        counts = zip(names, answers, answers, answers, answers, strict=False)
        return {name: self._depth(name, *rest) for name, *rest in counts}

    def _depth(self, queue: str, ready: int, stored: int, delayed: int, head: bytes | None) -> Depth:
        body = self.client.hget(f"{self.namespace}:{queue}.msgs", head.decode()) if head else None
        return Depth(ready, max(stored - ready, 0), delayed, _age(body if isinstance(body, bytes) else None))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _age(body: bytes | None) -> float:
    from dramatiq import Message  # noqa: PLC0415 - the annotation's import is for type checkers only

    if body is None:
        return 0.0
    message = Message.decode(body)
    since = message.options.get("callboard", {}).get("eligible_at", message.message_timestamp / 1000)
    return max(current_millis() / 1000 - float(since), 0.0)


class Consumer(StockConsumer):
    """The stock consumer, settling messages as the ledger decided."""

    broker: RedisBroker

    def ack(self, message: MessageProxy) -> None:
        """Settle a message: acknowledge it unless the ledger decided otherwise."""
        settlement = getattr(message, "settlement", Acknowledge())
        try:
            self._settle(message, settlement)
        except _DISCONNECTED as error:
            raise ConnectionClosed(error) from None
        self.queued_message_ids.discard(message.message_id)

    nack = ack  # a dead letter is in the ledger; Redis would delete it after a week

    def _settle(self, message: MessageProxy, settlement: Acknowledge | Resend | GiveBack) -> None:
        delivery = message.options["redis_message_id"]
        match settlement:
            case Acknowledge():
                self.broker._call("ack", self.queue_name, delivery)  # noqa: SLF001 - one module, one seam
            case Resend(delay):
                self.broker.resend(self.queue_name, delivery, message._message, delay)  # noqa: SLF001 - the proxied message
            case GiveBack():
                self.broker._call("requeue", self.queue_name, delivery)  # noqa: SLF001 - one module, one seam

    def __next__(self) -> MessageProxy | None:
        """The next message, or None when there is none yet, or when the worker is stopping and takes nothing new."""
        if not self.broker.accepting:
            time.sleep(IDLE_TIMEOUT_MS / 1000)
            return None
        try:
            message: MessageProxy | None = super().__next__()
        except redis.TimeoutError as error:
            raise ConnectionClosed(error) from None
        return message
