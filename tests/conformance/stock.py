"""The stock Dramatiq Redis broker in the same suite: what it fails is marked with the finding that told so.

The adapter does what the stock worker does with its consumers, and nothing to help: it keeps delayed messages in
memory, maintenance is asked for at every pulse instead of once in 1,000 commands, and a retry is enqueued and then
acknowledged.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, cast

import dramatiq
import redis
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import RedisBroker as StockBroker
from dramatiq.common import current_millis, dq_name, q_name

from callboard.broker import Delivery, Depth, Lane, Transport
from callboard.outcome import Acknowledge, GiveBack, Resend, Settlement
from tests.conformance.rigs import Rig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.embedded import Endpoints

_numbers = count(1)
_QUEUES = ("q", "other", "third")


class Lacking(Exception):
    """The stock broker has no such thing."""


class StockAdapter:
    """The part of our contract that the stock broker, its consumers and its worker's habits amount to."""

    knows_contents = True
    #: Seconds that a case waits; what the stock broker has not done by then it does not do.
    patience = 1.5

    def __init__(self, url: str, namespace: str) -> None:
        self.broker: Any = StockBroker(url=url, namespace=namespace, middleware=[], maintenance_chance=0)
        self.broker_id = self.broker.broker_id
        self.skew_ms = 0
        self._consumers: dict[str, Any] = {}
        self._out: dict[str, MessageProxy] = {}
        self._later: list[tuple[float, int, MessageProxy]] = []
        self._order = count()
        self._turn = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - dramatiq's own, or nothing
        if name in ("actors", "actor_options", "declare_actor", "declare_queue", "consume", "close"):
            return getattr(self.broker, name)
        raise Lacking(name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        return cast("Message[Any]", self.broker.enqueue(message, delay=delay))

    def enqueue_many(self, messages: Iterable[Message[Any]], *, delay: int | None = None) -> list[Message[Any]]:
        return [self.enqueue(message, delay=delay) for message in messages]

    def fetch(self, lanes: Sequence[Lane], timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        while True:
            self._hand_on_delayed()
            found = [delivery for lane in lanes for delivery in self._of_lane(lane)]
            if found or time.monotonic() >= deadline:
                return found

    def _of_lane(self, lane: Lane) -> Iterator[Delivery]:
        room, self._turn = lane.room, self._turn + 1
        first = self._turn % len(lane.queues)
        for queue in (*lane.queues[first:], *lane.queues[:first]):
            for proxy in self._read(queue, room):
                room -= 1
                delivery = (proxy.options or {}).get("redis_message_id", "")
                self._out[delivery] = proxy
                yield Delivery(delivery, queue, proxy.encode(), proxy._message)

    def _read(self, queue: str, room: int) -> Iterator[MessageProxy]:
        if queue not in self._consumers:
            self._consumers[queue] = self.broker.consume(queue, prefetch=0, timeout=20)
        consumer = self._consumers[queue]
        for _ in range(room):
            consumer.prefetch = consumer.outstanding_message_count + room
            proxy = next(consumer)
            if proxy is None:
                return
            yield proxy

    def _hand_on_delayed(self) -> None:
        for queue in _QUEUES:
            for proxy in self._read(dq_name(queue), 8000 if len(self._later) < 8000 else 0):
                heapq.heappush(self._later, (proxy.options["eta"], next(self._order), proxy))
        while self._later and self._later[0][0] <= current_millis() + self.skew_ms:
            proxy = heapq.heappop(self._later)[2]
            fresh = proxy.copy(queue_name=q_name(proxy.queue_name))
            del fresh.options["eta"]
            self.broker.enqueue(fresh)
            self._consumers[proxy.queue_name].ack(proxy)

    def settle(self, batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        for delivery, settlement in batch:
            proxy = self._out.pop(delivery.id, None) or MessageProxy(cast("Message[Any]", delivery.message))
            consumer = self._consumers[delivery.queue]
            match settlement:
                case Resend(delay):
                    self.broker.enqueue(delivery.message, delay=int(delay * 1000))
                    consumer.ack(proxy)
                case GiveBack():
                    consumer.requeue([proxy])
                case Acknowledge():
                    consumer.ack(proxy)

    def pulse(self, held: Collection[str] | None = None) -> float:
        del held  # the stock worker never compares
        for queue in _QUEUES:
            self.broker._should_do_maintenance = lambda _command: 1
            self.broker._dispatch("maintain")(queue)
            self.broker._should_do_maintenance = lambda _command: 0
        self._hand_on_delayed()
        return 0.02

    def leave(self) -> None:
        for proxy in [*self._out.values(), *(item[2] for item in self._later)]:
            self._consumers[proxy.queue_name].requeue([proxy])

    def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        return {queue: self._depth(queue) for queue in queues}

    def _depth(self, queue: str) -> Depth:
        key, delayed = (f"{self.broker.namespace}:{name}" for name in (queue, dq_name(queue)))
        ready, stored = self.broker.client.llen(key), self.broker.client.hlen(f"{key}.msgs")
        return Depth(ready, stored - ready, self.broker.client.hlen(f"{delayed}.msgs"), 0.0)


_RETRY = "c6: a retry is a new message; settling it again makes another"
_NO_API = "no such operation: the console's operator has only redis-cli"
#: What the stock broker cannot do, by the name of the case; `f1` and the like are the experiments of the research.
FAILS: Mapping[str, str] = {
    "test_a_message_that_comes_later_keeps_its_crashes": "e2: nobody counts how many workers a message has killed",
    "test_the_urgent_overtake_what_is_queued": "a queue is one list: priorities hold among prefetched messages only",
    "test_a_message_may_name_its_own_priority": "a queue is one list: priorities hold among prefetched messages only",
    "test_what_is_there_is_not_enqueued_again": "c6: every enqueue makes a new id, so a repeated one runs twice",
    "test_one_bad_message_stops_the_whole_batch": "g1: NaN is taken, as JSON that is none; and there is no batch",
    "test_a_message_over_the_limit_is_refused": "any size is taken",
    "test_all_waiting_fetches_are_interrupted": "no such operation: consumers sleep between polls",
    "test_an_interrupt_is_for_this_process_only": "no such operation: consumers sleep between polls",
    "test_a_batch_is_settled_each_as_decided": _RETRY,
    "test_what_was_settled_cannot_be_settled_otherwise": _RETRY,
    "test_a_resent_message_comes_back_as_the_next_attempt": "deliveries have random ids that tell nothing",
    "test_what_is_given_back_is_next": "what is given back goes to the end of the queue",
    "test_what_is_given_back_does_not_overtake_the_urgent": "what is given back goes to the end of the queue",
    "test_a_delay_goes_by_the_servers_clock": "i3: due by the producer's clock, looked at by the worker's",
    "test_the_far_future_holds_nothing_up": "f1: far-future messages fill the worker's memory and starve the due",
    "test_the_delayed_can_be_listed": _NO_API,
    "test_only_what_waits_can_be_dropped": _NO_API,
    "test_the_broker_knows_what_it_holds": _NO_API,
    "test_a_paused_queue_takes_and_does_not_give": _NO_API,
    "test_pause_and_resume_reach_a_waiting_fetch": _NO_API,
    "test_a_limit_holds_over_all_workers": _NO_API,
    "test_the_oldest_waits_longest": _NO_API,
    "test_another_worker_takes_over_from_the_dead": "what is taken over goes to the end of the queue, uncounted",
    "test_each_crash_is_counted": "deliveries are not counted: e, a poison message loops for ever",
    "test_the_old_holder_settles_in_vain": "c6: its retry is a new message, so the job runs twice",
    "test_orphans_are_counted": _NO_API,
    "test_the_broker_knows_who_is_alive": _NO_API,
    "test_what_a_worker_does_not_know_of_goes_back": "c5: 5 lost replies strand 40 messages in a live worker",
    "test_only_the_unknown_go_back": "c5: 5 lost replies strand 40 messages in a live worker",
    "test_a_bad_body_is_told_and_harms_nobody": "g3: one corrupt body strands its neighbours and is never buried",
    "test_a_bad_body_can_be_given_back": "g3: one corrupt body strands its neighbours and is never buried",
    "test_a_repeated_enqueue_is_one_message": "c6: the reply of an enqueue is lost, and 20 jobs run twice",
    "test_a_bad_body_does_not_stop_the_stock_worker": "g3: one corrupt body strands its neighbours",
}


class StockRig(Rig):
    """Stock Dramatiq on the same Valkey."""

    fails: ClassVar[Mapping[str, str]] = FAILS

    def __init__(self, endpoints: Endpoints) -> None:
        super().__init__()
        self.endpoints = endpoints
        self.namespace = f"stock-{next(_numbers)}"
        self.client = redis.Redis.from_url(endpoints.broker_url)

    def _open(self) -> Transport:
        return cast("Transport", StockAdapter(self.endpoints.broker_url, self.namespace))

    def another(self) -> Rig:
        return StockRig(self.endpoints)

    def forge(self, queue: str, delivery: str, body: bytes) -> None:
        self.client.hset(f"{self.namespace}:{queue}.msgs", delivery, cast("str", body))
        self.client.rpush(f"{self.namespace}:{queue}", delivery)

    def expire(self, worker: Transport) -> None:
        self.client.zadd(f"{self.namespace}:__heartbeats__", {worker.broker_id: 1}, xx=True)

    def hasten(self, seconds: float) -> None:
        for broker in self.opened:
            cast("StockAdapter", broker).skew_ms += int(seconds * 1000)

    def close(self) -> None:
        super().close()
        keys = list(self.client.scan_iter(f"{self.namespace}:*", count=1000))
        if keys:
            self.client.delete(*keys)
        self.client.close()


def stock_broker(adapter: Transport) -> dramatiq.Broker:
    """What the stock worker is given: the adapter's broker, or a transport itself."""
    return cast("dramatiq.Broker", adapter.broker) if isinstance(adapter, StockAdapter) else adapter
