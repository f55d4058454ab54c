r"""The broker on Redis or Valkey: a message is in one place at every moment, and a Lua script moves it.

Where a message is, and under which keys (`{ns}` is the namespace in braces, so that all keys share one cluster slot):

    {ns}:msgs:<queue>             hash   id -> "<priority>\n<body>", from enqueue until it is settled
    {ns}:ready:<queue>:<priority> list   ids that may be taken, first in, first out
    {ns}:levels:<queue>           zset   the priorities that have ready messages
    {ns}:later:<queue>            zset   ids that wait for their time, by due time (ms, the server's clock)
    {ns}:due                      zset   queues by the due time of their first delayed message
    {ns}:held:<worker>:<queue>    set    ids in the hands of a worker process
    {ns}:leases                   zset   worker processes by the end of their lease
    {ns}:suspects                 hash   workers seen with a lease that is over, and since when
    {ns}:crashes                  hash   id -> how often it was held by a worker that died
    {ns}:bell:<queue>             list   of at most one element, on which idle workers block
    {ns}:paused, limits, queues   set, hash, set

            enqueue ─────────▶ ready ──────fetch──────▶ held ───────ack───────▶ gone
               │                 ▲ ▲                     │ │
             delay               │ └──── give back ──────┘ │   (the front of the queue; also when the lease ends,
               ▼                 │                         │    and then it counts as a crash)
             later ───promote────┘                       again
               ▲                                           │
               └───────────────────────────────────────────┘   (a retry: the old id goes, the new one comes, one script)

What a crash leaves behind:

- *of a producer, before the script ran*: nothing; *after it*: a message. A producer that got no answer sends the same
  id again: while the broker holds it nothing is added, and what comes later is marked `unsure`, so that the worker asks
  the ledger before it runs it.
- *of a worker*: ids in its `held` sets. Every worker's pulse looks for leases that are over; one that has been seen
  over for longer than a heartbeat gives its ids back to the front of their queues. The second look spares live workers
  when the server's clock jumps. A worker that comes back settles in vain: it holds nothing any more.
- *of a reply*: a fetch whose answer was lost leaves ids that the worker does not know. Its pulse compares, and what is
  unknown twice in a row goes back. A settlement is repeated, and what is settled already is left alone.
- *of the server*: what its append-only file has. What it lost of durable runs, the ledger's reconciler sends again.

No command's cost grows with the number of messages; at most 1,000 messages move in one script.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import redis
import structlog
from dramatiq.errors import ConnectionClosed

from callboard.broker import _scripts
from callboard.broker._connect import connect, require_safe
from callboard.broker._held import Strays
from callboard.broker.codec import decode, encode
from callboard.broker.delivery import Delayed, Delivery, Depth
from callboard.broker.transport import Transport, announced
from callboard.broker.url import broker_url
from callboard.envelope import KEY, delivery_id, ready_since
from callboard.outcome import Acknowledge, GiveBack, Resend
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from dramatiq import Message, Middleware

    from callboard.broker.delivery import Lane
    from callboard.outcome import Settlement

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: A fetch waits for a bell no longer than this at a time, so that a bell lost with its worker costs no more.
_LONGEST_WAIT: Final = 4.0
#: Messages in one script.
_CHUNK: Final = 1000
_DISCONNECTED = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError)


@contextmanager
def _connected() -> Iterator[None]:
    """Translate the client's errors into the one that Dramatiq's workers know."""
    try:
        yield
    except _DISCONNECTED as error:
        raise ConnectionClosed(error) from None


class RedisBroker(Transport):
    r"""The broker on Redis (7 or later) or Valkey; see the top of this module.

    Args:
        url: Where it is, see `callboard.broker._connect`; None: read from the settings at the first command.
        middleware: The stack, in order.
        namespace: Prefix of all keys; None: from the settings.

    Raises:
        UnsafeBroker: From the first command: the server would lose or evict messages.
    """

    def __init__(
        self, *, url: str | None = None, middleware: list[Middleware] | None = None, namespace: str | None = None
    ) -> None:
        super().__init__(middleware=middleware)
        self._url = url
        self._namespace = namespace
        self._client: redis.Redis | None = None
        self._lock = threading.Lock()
        self._waiting = 0
        self._turn = 0
        self._strays = Strays()

    @property
    def client(self) -> redis.Redis:
        """The connections, made and checked when they are first needed."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._connect()
        return self._client

    def _connect(self) -> redis.Redis:
        settings = get_settings()
        client = connect(self._url or broker_url(settings))
        with _connected():
            require_safe(client, volatile_allowed=settings.broker_allow_volatile)
        self.namespace = "{" + (self._namespace or settings.broker_namespace) + "}"
        self._limit = settings.message_max_bytes
        self._lease_ms = int(settings.lease_seconds * 1000)
        self._heartbeat = settings.heartbeat_seconds
        return client

    def _run(self, name: str, args: Sequence[Any]) -> Any:  # noqa: ANN401 - what Lua returns
        client = self.client
        with _connected():
            return _scripts.run(client, name, self.namespace, args)

    # Producing

    @announced
    def enqueue_many(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        """Enqueue messages, 1,000 in a round trip; as `enqueue`, and what is not JSON stops them all."""
        batch = list(messages)
        _ = self.client  # before any hook has written to the ledger
        for message in batch:
            self.declare_queue(message.queue_name)
            self.emit_before("enqueue", message, delay)
        self._check(batch)
        for start in range(0, len(batch), _CHUNK):
            self._send(batch[start : start + _CHUNK], -1 if delay is None else delay)
        self.enqueued(batch, delay)
        return batch

    def _check(self, batch: list[Message[Any]]) -> None:
        """Encode all once before the first is sent, where there is more than one chunk."""
        if len(batch) > _CHUNK:
            for message in batch:
                encode(message, limit=self._limit)

    def _send(self, batch: list[Message[Any]], delay: int) -> None:
        try:
            self._run("enqueue", self._packed(batch, delay))
        except ConnectionClosed:
            for message in batch:
                message.options.setdefault(KEY, {})["unsure"] = True
            self._run("enqueue", self._packed(batch, delay))

    def _packed(self, batch: list[Message[Any]], delay: int) -> list[Any]:
        args: list[Any] = []
        for message in batch:
            body = encode(message, limit=self._limit)
            args += (message.queue_name, self.priority_of(message), delivery_id(message), body, delay)
        return args

    # Working

    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[Delivery]:
        """Take messages; see `Transport.fetch`."""
        deadline = time.monotonic() + timeout
        while True:
            got = self._take(lanes)
            patience = deadline - time.monotonic()
            if got or patience <= 0 or self._wait(lanes, min(patience, _LONGEST_WAIT)) == self._own_bell:
                return got

    def _take(self, lanes: Sequence[Lane]) -> list[Delivery]:
        args: list[Any] = [self.broker_id]
        for lane in lanes:
            turn = self._turn % len(lane.queues)
            args += (min(lane.room, _CHUNK), len(lane.queues), *lane.queues[turn:], *lane.queues[:turn])
        self._turn += 1
        with self._strays.calling():
            next_due, *found = self._fetched(args)
        if next_due >= 0:
            self.expect_pulse(next_due / 1000)
        return [_delivery(*found[i : i + 4]) for i in range(0, len(found), 4)]

    def _fetched(self, args: list[Any]) -> list[Any]:
        try:
            return cast("list[Any]", self._run("fetch", args))
        except redis.ResponseError as error:
            if not str(error).startswith("NOLEASE"):
                raise
        self.pulse(None)  # the first fetch, or the lease ended while we were frozen: what we held went elsewhere
        return cast("list[Any]", self._run("fetch", args))

    @property
    def _own_bell(self) -> bytes:
        return f"{self.namespace}:bell:@{self.broker_id}".encode()

    def _wait(self, lanes: Sequence[Lane], seconds: float) -> bytes | None:
        bells = [f"{self.namespace}:bell:{queue}" for lane in lanes for queue in lane.queues]
        self._waiting += 1
        try:
            with _connected():
                rung = self.client.execute_command("BLPOP", self._own_bell, *bells, f"{self.namespace}:bell:", seconds)
        finally:
            self._waiting -= 1
        return None if rung is None else cast("bytes", rung[0])

    def interrupt(self) -> None:
        """Ring this process's own bell, once for each of us who waits for one."""
        waiting = self._waiting
        if waiting:
            with _connected():
                self.client.rpush(self._own_bell, *["1"] * waiting)

    def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        """Settle deliveries; see `Transport.settle`."""
        for start in reversed(range(0, len(batch), _CHUNK)):  # what goes back to the front keeps its order
            self._run("settle", [self.broker_id, *self._decisions(batch[start : start + _CHUNK])])

    def _decisions(self, batch: Sequence[tuple[Delivery, Settlement]]) -> Iterator[Any]:
        groups: dict[tuple[str, str], list[str]] = {}
        for delivery, settlement in batch:
            match settlement:
                case Acknowledge():
                    groups.setdefault(("ack", delivery.queue), []).append(delivery.id)
                case GiveBack():
                    groups.setdefault(("back", delivery.queue), []).append(delivery.id)
                case Resend(delay):
                    yield from self._again(delivery, delay)
        for (action, queue), ids in groups.items():
            yield from (action, queue, len(ids), *ids)

    def _again(self, delivery: Delivery, delay: float) -> tuple[Any, ...]:
        message = delivery.message
        if message is None:
            raise ValueError(f"delivery {delivery.id} cannot be read, so it cannot be sent again: acknowledge it.")
        body = encode(message, limit=max(self._limit, 2 * len(delivery.body)))
        new, priority = delivery_id(message), self.priority_of(message)
        return "again", delivery.queue, delivery.id, new, priority, body, max(int(delay * 1000), 0)

    def pulse(self, held: Collection[str] | None = None) -> float:
        """Renew the lease, and more; see `Transport.pulse`. None: who calls does not know what is held here."""
        patience = int(self._pulse_seconds * 1000) + 500
        due, count, taken, suspects = self._run("pulse", [self.broker_id, self._lease_ms, patience])
        if taken:
            logger.warning("broker.taken_over", messages=taken)
        if held is not None:
            self._strays.compare(held, count, self._held, self._give_back)
        soon = patience / 1000 if suspects else self._pulse_seconds  # the second look takes what the first suspected
        if taken or due == 0:
            return 0.0
        return soon if due < 0 else min(due / 1000, soon)

    @property
    def _pulse_seconds(self) -> float:
        _ = self.client
        return self._heartbeat

    def _held(self) -> dict[str, str]:
        """Ids that the server thinks we hold, and the queue of each."""
        prefix = f"{self.namespace}:held:{self.broker_id}:"
        with _connected():
            queues = [name.decode() for name in cast("set[bytes]", self.client.smembers(f"{self.namespace}:queues"))]
            sets = [(queue, cast("set[bytes]", self.client.smembers(prefix + queue))) for queue in queues]
        return {member.decode(): queue for queue, members in sets for member in members}

    def _give_back(self, strays: Mapping[str, str]) -> None:
        logger.warning("broker.strays_given_back", messages=len(strays))
        for delivery, queue in strays.items():
            self._run("settle", [self.broker_id, "back", queue, 1, delivery])

    def leave(self) -> None:
        """Give back whatever this process holds, and end its lease."""
        if self._client is not None:
            while self._run("leave", [self.broker_id]):
                continue

    # Observing

    def has(self, deliveries: Iterable[tuple[str, str]]) -> list[bool]:
        """For each (queue, delivery id): does the broker still hold it, ready, claimed or delayed?"""
        client = self.client
        with _connected(), client.pipeline(transaction=False) as pipe:
            for queue, delivery in deliveries:
                pipe.hexists(f"{self.namespace}:msgs:{queue}", delivery)
            return [bool(found) for found in pipe.execute()]

    def alive(self) -> set[str]:
        """The `broker_id` of every process whose lease runs, by the server's clock."""
        client = self.client
        with _connected():
            seconds, micros = client.time()
            now = seconds * 1000 + micros // 1000
            found = cast("list[bytes]", client.zrangebyscore(f"{self.namespace}:leases", now, "+inf"))
        return {worker.decode() for worker in found}

    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """How many messages of each queue are where."""
        names = list(queues)
        rows = self._run("depths", names) if names else []
        return {name: _depth(*row) for name, row in zip(names, rows, strict=True)}

    def delayed(self, queue: str, *, limit: int = 100) -> list[Delayed]:
        """Messages of a queue that wait for their time, the next one first."""
        client = self.client
        with _connected():
            seconds, micros = client.time()
            waiting: Any = client.zrange(f"{self.namespace}:later:{queue}", 0, limit - 1, withscores=True)
            names = [name for name, _ in waiting]
            stored: Any = client.hmget(f"{self.namespace}:msgs:{queue}", names) if names else []
        now = seconds + micros / 1e6
        rows = zip(waiting, stored, strict=True)
        return [Delayed(name.decode(), _body(text), due / 1000 - now) for (name, due), text in rows if text]

    # Operating

    def drop(self, queue: str, delivery: str) -> bool:
        """Forget a message that waits; False if it does not."""
        return bool(self._run("drop", [queue, delivery]))

    def pause(self, queue: str) -> None:
        """Hand out nothing of this queue from now on."""
        client = self.client
        with _connected():
            client.sadd(f"{self.namespace}:paused", queue)

    def resume(self, queue: str) -> None:
        """End `pause`, and wake an idle worker."""
        client = self.client
        with _connected():
            client.srem(f"{self.namespace}:paused", queue)
            client.rpush(f"{self.namespace}:bell:{queue}", "1")

    def paused(self) -> set[str]:
        """The queues that are paused."""
        client = self.client
        with _connected():
            return {name.decode() for name in cast("set[bytes]", client.smembers(f"{self.namespace}:paused"))}

    def set_limits(self, limits: Mapping[str, int | None]) -> None:
        """Bound how many messages of a queue may be held at once over all workers; None lifts the bound."""
        client, name = self.client, f"{self.namespace}:limits"
        with _connected():
            for queue, limit in limits.items():
                client.hdel(name, queue) if limit is None else client.hset(name, queue, str(limit))
                client.rpush(f"{self.namespace}:bell:{queue}", "1")

    def flush(self, queue_name: str) -> None:
        """Forget every message of a queue that waits; for tests."""
        client, ns = self.client, self.namespace
        with _connected():
            levels = cast("list[bytes]", client.zrange(f"{ns}:levels:{queue_name}", 0, -1))
            lists = [f"{ns}:ready:{queue_name}:{level.decode()}" for level in levels]
            client.delete(f"{ns}:msgs:{queue_name}", f"{ns}:levels:{queue_name}", f"{ns}:later:{queue_name}", *lists)
            client.zrem(f"{ns}:due", queue_name)

    def flush_all(self) -> None:
        """Forget every waiting message of the declared queues; for tests."""
        for queue in self.queues:
            self.flush(queue)

    def close(self) -> None:
        """Close the connections; the next command opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _body(stored: bytes) -> bytes:
    return stored.partition(b"\n")[2]


def _delivery(queue: bytes, delivery: bytes, stored: bytes, crashes: bytes | int) -> Delivery:
    name, body = queue.decode(), _body(stored)
    message, defect = decode(body, name)
    return Delivery(delivery.decode(), name, body, message, int(crashes), defect)


def _depth(ready: int, claimed: int, delayed: int, orphaned: int, *heads: bytes) -> Depth:
    now = time.time()
    oldest = max((now - ready_since(_body(head), now) for head in heads), default=0.0)
    return Depth(ready, claimed, delayed, max(oldest, 0.0), orphaned)
