"""Transports under test, each with the few tricks that a test needs and no user has: forged bodies, ended leases, time.

A rig is one namespace of one broker; `worker()` opens it once more, as another process would.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import dramatiq
import redis
from dramatiq import Message

from callboard.broker import Transport
from callboard.broker import _scripts as scripts
from callboard.broker.memory import MemoryBroker, MemoryStore
from callboard.broker.memory_store import Entry
from callboard.broker.redis import RedisBroker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.embedded import Endpoints

#: The actors of all rigs, and their priorities: lower is first.
ACTORS = {"urgent": -10, "work": 0, "lazy": 10}
_numbers = count(1)


def message(number: int, queue: str = "q", actor: str = "work", **options: Any) -> Message[Any]:  # noqa: ANN401 - options
    """A message that carries its number."""
    return Message(queue_name=queue, actor_name=actor, args=(number,), kwargs={}, options=options)


def equip(broker: dramatiq.Broker) -> None:
    """Declare the actors; messages of theirs may be sent to any queue."""
    for name, priority in ACTORS.items():
        dramatiq.Actor(print, broker=broker, actor_name=name, queue_name="q", priority=priority, options={})


class Rig(ABC):
    """One transport on a store of its own."""

    #: Cases that this transport cannot pass, by the test's name, and why: they must fail.
    fails: ClassVar[Mapping[str, str]] = {}
    #: Those of them that may pass when the server happens to be slow.
    by_chance: ClassVar[frozenset[str]] = frozenset()
    #: Seconds that a case waits for what must come; those of `fails` wait for what does not.
    patience = 10.0
    #: The longest delay in milliseconds that the transport has to bear.
    far_ms = 10 * 365 * 86_400_000

    def __init__(self) -> None:
        self.opened: list[Transport] = []

    def worker(self) -> Transport:
        """The broker as one more process opens it."""
        broker = self._open()
        self.opened.append(broker)
        equip(broker)
        return broker

    def seconds(self, told: float) -> float:
        """How long a delay of so many seconds is on this rig, where `hasten` ends it."""
        return told

    @abstractmethod
    def _open(self) -> Transport: ...

    @abstractmethod
    def another(self) -> Rig:
        """A second namespace on the same server."""

    @abstractmethod
    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        """Put in a body that no producer of ours would send."""

    @abstractmethod
    def expire(self, worker: Transport) -> None:
        """The worker was silent for too long: whoever pulses next takes over from it."""

    @abstractmethod
    def hasten(self, seconds: float) -> None:
        """All delayed messages are due so much earlier."""

    def close(self) -> None:
        """Close what was opened."""
        for broker in self.opened:
            broker.close()


class MemoryRig(Rig):
    """Brokers in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._skew = 0.0
        self.store = MemoryStore(clock=lambda: time.monotonic() + self._skew)

    def _open(self) -> Transport:
        return MemoryBroker(store=self.store, middleware=[])

    def another(self) -> Rig:
        return MemoryRig()

    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        self.store.put([Entry(delivery, queue, body)], None)

    def expire(self, worker: Transport) -> None:
        self.store.leases[worker.broker_id] = float("-inf")

    def hasten(self, seconds: float) -> None:
        self._skew += seconds
        self.store.leases = {name: until + seconds for name, until in self.store.leases.items()}
        self.store.wake()


class RedisRig(Rig):
    """Our broker on a real Valkey."""

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self.endpoints = endpoints
        self.namespace = f"conformance-{next(_numbers)}"
        self.ns = "{" + self.namespace + "}"
        self.client = redis.Redis.from_url(endpoints.broker_url)

    def _open(self) -> Transport:
        return RedisBroker(url=self.endpoints.broker_url, middleware=[], namespace=self.namespace)

    def another(self) -> Rig:
        return RedisRig(self.endpoints)

    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        scripts.run(self.client, "enqueue", self.ns, [queue, 0, delivery, body, -1])

    def expire(self, worker: Transport) -> None:
        assert self.client.zadd(f"{self.ns}:leases", {worker.broker_id: 1}, xx=True, ch=True) == 1, "it has no lease"
        self.client.hset(f"{self.ns}:suspects", worker.broker_id, "1")  # seen dead since long ago

    def hasten(self, seconds: float) -> None:
        for key in (f"{self.ns}:due", *self.client.scan_iter(f"{self.ns}:later:*")):
            members: Any = self.client.zrange(key, 0, -1)
            for member in members:
                self.client.zincrby(key, -seconds * 1000, member)

    def close(self) -> None:
        super().close()
        keys = list(self.client.scan_iter(f"{self.ns}:*", count=1000))
        if keys:
            self.client.delete(*keys)
        self.client.close()
