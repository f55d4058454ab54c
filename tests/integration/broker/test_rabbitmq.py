"""The RabbitMQ broker against a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pika
import pytest
from dramatiq import Message
from dramatiq.errors import ConnectionClosed

from callboard.broker._rabbitmq_inbox import STALE_SECONDS
from callboard.broker._rabbitmq_topology import LEVELS, QUANTUM_MS, Topology
from callboard.broker.delivery import Delivery, Lane
from callboard.broker.rabbitmq import RabbitBroker
from callboard.envelope import delivery_id
from callboard.errors import Unsupported
from callboard.outcome import Acknowledge, GiveBack, Resend, Settlement
from tests.rabbitmq import RabbitServer
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.long

_names = count(1)
YEAR_MS = 366 * 86_400_000


@pytest.fixture
def namespace() -> str:
    return f"test{next(_names)}"


@pytest.fixture
def make_broker(rabbitmq: RabbitServer, namespace: str) -> Iterator[Callable[..., RabbitBroker]]:
    """Brokers of one fleet, each as a process of its own would have it."""
    made: list[RabbitBroker] = []

    def make(url: str | None = None) -> RabbitBroker:
        made.append(RabbitBroker(url=url or rabbitmq.url, middleware=[], namespace=namespace))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make_broker: Callable[..., RabbitBroker]) -> RabbitBroker:
    return make_broker()


def message(number: int = 0, queue: str = "default", **options: int) -> Message[Any]:
    return Message(queue, "a_job", (number,), {}, dict(options))


def numbers(deliveries: list[Delivery]) -> list[int]:
    return [delivery.message.args[0] for delivery in deliveries if delivery.message]


def fetch(broker: RabbitBroker, room: int = 10, *queues: str, timeout: float = 5.0) -> list[Delivery]:
    return broker.fetch([Lane(queues or ("default",), room)], timeout)


def fetch_all(broker: RabbitBroker, wanted: int, *queues: str) -> list[Delivery]:
    """So many messages, in the order they came."""
    found: list[Delivery] = []

    def enough() -> bool:
        found.extend(fetch(broker, wanted - len(found), *queues))
        return len(found) == wanted

    eventually(enough)
    return found


def settle(broker: RabbitBroker, deliveries: list[Delivery], settlement: Settlement = Acknowledge()) -> None:  # noqa: B008 - frozen
    broker.settle([(delivery, settlement) for delivery in deliveries])


def ready(broker: RabbitBroker, queue: str = "default") -> int:
    return broker.depths([queue])[queue].ready


# Messages come and go


def test_a_message_comes_as_it_was_sent_and_is_gone_when_acknowledged(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    sent = broker.enqueue(message(7))

    (delivery,) = fetch(broker)
    assert (delivery.message, delivery.id, delivery.queue) == (sent, delivery_id(sent), "default")
    assert (delivery.crashes, delivery.defect) == (0, "")

    settle(broker, [delivery])
    broker.close()
    assert fetch(make_broker(), timeout=0.3) == []


def test_messages_come_first_in_first_out(broker: RabbitBroker) -> None:
    broker.enqueue_many([message(number) for number in range(50)])

    assert numbers(fetch_all(broker, 50)) == list(range(50))


def test_ten_thousand_messages_are_confirmed_in_one_call(broker: RabbitBroker) -> None:
    broker.enqueue_many([message(number) for number in range(10_000)])

    assert eventually(lambda: ready(broker) == 10_000)
    deliveries = fetch(broker, 1000)
    settle(broker, deliveries)
    assert eventually(lambda: broker.depths(["default"])["default"].claimed >= 1, what="the next ones to be pushed")


def test_a_fetch_takes_no_more_than_its_lanes_have_room_for(broker: RabbitBroker) -> None:
    for queue in ("a", "b", "c"):
        broker.enqueue_many([message(number, queue) for number in range(20)])
    lanes = [Lane(("a", "b"), 5), Lane(("c",), 3)]

    found = broker.fetch(lanes, 5.0)
    more = [broker.fetch(lanes, 0.5) for _ in range(3)]

    for deliveries in [found, *more]:
        assert sum(delivery.queue == "c" for delivery in deliveries) <= 3
        assert sum(delivery.queue != "c" for delivery in deliveries) <= 5


def test_queues_of_a_lane_take_turns(broker: RabbitBroker) -> None:
    for queue in ("a", "b"):
        broker.enqueue_many([message(number, queue) for number in range(20)])

    (first,) = fetch(broker, 1, "a", "b")
    eventually(lambda: broker._held("a") and broker._held("b"), what="the other queue's message to be pushed")
    (second,) = fetch(broker, 1, "a", "b")

    assert {first.queue, second.queue} == {"a", "b"}


def test_a_busy_queue_among_many_gets_all_the_room(broker: RabbitBroker) -> None:
    queues = [f"q{number}" for number in range(20)]
    broker.enqueue_many([message(number, "q7") for number in range(100)])

    assert len(fetch_all(broker, 100, *queues)) == 100


def test_an_idle_fetch_wakes_up_for_a_message(broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]) -> None:
    found: list[Delivery] = []
    waiting = threading.Thread(target=lambda: found.extend(fetch(broker, timeout=20.0)))
    waiting.start()

    make_broker().enqueue(message(1))
    waiting.join(10)

    assert numbers(found) == [1]


def test_interrupt_ends_a_waiting_fetch(broker: RabbitBroker) -> None:
    fetch(broker, timeout=0.0)
    waiting = threading.Thread(target=lambda: fetch(broker, timeout=60.0))
    waiting.start()

    def ended() -> bool:
        broker.interrupt()
        return not waiting.is_alive()

    eventually(ended)


def test_priorities_go_in_three_bands(broker: RabbitBroker) -> None:
    fetch(broker, 3, timeout=0.0)  # consumes, with a credit of 3 for each band
    for number, priority in ((5, 7), (3, 0), (1, -1), (4, 0), (2, -9)):
        broker.enqueue(message(number, priority=priority))
    eventually(lambda: broker._held("default") == 5, what="all to be pushed")

    assert numbers(fetch(broker, 3) + fetch(broker, 2)) == [1, 2, 3, 4, 5]


def test_what_is_given_back_comes_before_what_waits(broker: RabbitBroker) -> None:
    broker.enqueue(message(1))
    (delivery,) = fetch(broker, 3)
    broker.enqueue(message(2))
    settle(broker, [delivery], GiveBack())
    eventually(lambda: broker._held("default") == 2, what="both to be pushed")

    assert numbers(fetch(broker, 2)) == [1, 2]


def test_a_body_that_is_no_message_is_delivered_with_what_is_wrong(
    broker: RabbitBroker,
    rabbitmq: RabbitServer,
    namespace: str,
) -> None:
    ready(broker)
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        connection.channel().basic_publish("", f"{namespace}.default", b"\x80 no message")

    (delivery,) = fetch(broker)
    assert delivery.message is None
    assert delivery.body == b"\x80 no message"
    assert "no message" in delivery.defect
    settle(broker, [delivery])


# Delays


@pytest.mark.parametrize("delay", [0.2, 2.0])
def test_a_delayed_message_comes_when_it_is_due(broker: RabbitBroker, delay: float) -> None:
    fetch(broker, timeout=0.0)
    broker.enqueue(message(99), delay=1)  # declares the levels
    settle(broker, fetch(broker))

    before = time.monotonic()
    broker.enqueue(message(1), delay=int(delay * 1000))
    sent = time.monotonic()
    (delivery,) = fetch(broker, timeout=10.0)
    arrived = time.monotonic()

    assert arrived - before >= delay
    assert arrived - sent <= delay + 0.5
    assert (delivery.crashes, delivery.message and delivery.message.args) == (0, (1,))


def test_a_short_delay_does_not_wait_behind_a_long_one(broker: RabbitBroker) -> None:
    broker.enqueue(message(2), delay=YEAR_MS)
    broker.enqueue(message(3), delay=60_000)
    broker.enqueue(message(1), delay=100)

    assert numbers(fetch(broker)) == [1]
    assert fetch(broker, timeout=0.2) == []


def test_the_longest_delay_is_accepted_and_a_longer_one_refused(broker: RabbitBroker) -> None:
    longest = (2**LEVELS - 1) * QUANTUM_MS
    broker.enqueue(message(1), delay=longest)

    with pytest.raises(ValueError, match=r"3\.4 years"):
        broker.enqueue(message(1), delay=longest + 1)


def test_every_bit_of_a_delay_is_waited_for() -> None:
    topology = Topology("ns")
    for delay_ms in (1, 25, 26, 1000, 123_456, YEAR_MS):
        route = topology.route("a.b", 1, delay_ms)
        bits = route.key.split(".")[:LEVELS]
        waited = sum(QUANTUM_MS << (LEVELS - 1 - place) for place, bit in enumerate(bits) if bit == "1")
        assert delay_ms <= waited < delay_ms + QUANTUM_MS
        assert route.key.endswith(".ns.a.b")


def test_a_delayed_message_goes_to_its_own_queue_only(broker: RabbitBroker) -> None:
    for queue in ("b", "a.b"):
        ready(broker, queue)
    broker.enqueue(message(1, "b"), delay=50)
    broker.enqueue(message(2, "a.b"), delay=50)

    found = fetch_all(broker, 2, "b", "a.b")
    assert {(delivery.queue, *numbers([delivery])) for delivery in found} == {("b", 1), ("a.b", 2)}
    assert fetch(broker, 5, "b", "a.b", timeout=0.2) == []


# Settlements


def test_a_retry_comes_later_under_a_new_id(broker: RabbitBroker) -> None:
    broker.enqueue(message(1))
    (delivery,) = fetch(broker)
    assert delivery.message
    delivery.message.options["retries"] = 1

    before = time.monotonic()
    settle(broker, [delivery], Resend(0.3))
    (again,) = fetch(broker)

    assert time.monotonic() - before >= 0.3
    assert again.id == f"{delivery.message.message_id}.1"
    assert broker.depths(["default"])["default"] == (0, 1, 0, 0.0, 0)


def test_what_is_given_back_is_no_crash_and_marked_unsure(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    broker.enqueue_many([message(number) for number in range(1, 4)])
    (delivery,) = fetch(broker, 1)

    settle(broker, [delivery], GiveBack())
    broker.leave()
    other = make_broker()
    eventually(lambda: ready(other) == 3)

    again = fetch_all(other, 3)
    first = next(found for found in again if found.id == delivery.id)
    assert (first.crashes, first.body) == (0, delivery.body)
    assert first.message
    assert first.message.options["callboard"]["unsure"] is True


def test_settling_twice_does_nothing_the_second_time(broker: RabbitBroker) -> None:
    broker.enqueue(message(1))
    (delivery,) = fetch(broker)

    settle(broker, [delivery], Resend(0.0))
    settle(broker, [delivery], Resend(0.0))

    assert len(fetch(broker)) == 1
    assert fetch(broker, timeout=0.3) == []


def test_acknowledging_out_of_order_leaves_the_others_held(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    broker.enqueue_many([message(number) for number in range(10)])
    deliveries = fetch_all(broker, 10)

    settle(broker, [deliveries[number] for number in (0, 1, 2, 5, 8)])
    settle(broker, [deliveries[number] for number in (4, 3)])
    broker.close()

    assert sorted(numbers(fetch_all(make_broker(), 3))) == [6, 7, 9]


def test_what_has_no_room_here_goes_to_another_process(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    broker.enqueue_many([message(number, "a") for number in range(2)] + [message(number, "b") for number in range(2)])
    taken = fetch_all(broker, 1, "a", "b")  # both queues are consumed, and this worker is now busy
    eventually(lambda: broker._held("a") + broker._held("b") >= 2, what="the other queue's message to be pushed")
    eventually(lambda: broker.pulse() < STALE_SECONDS * 2 and broker._held("a") + broker._held("b") == 1)

    other = fetch_all(make_broker(), 3, "a", "b")

    assert all(delivery.crashes == 0 for delivery in other)
    assert not {delivery.id for delivery in other} & {delivery.id for delivery in taken}


def test_leaving_gives_back_all_and_counts_no_crash(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    broker.enqueue_many([message(number) for number in range(10)])
    fetch(broker, 5)

    broker.leave()

    again = fetch_all(make_broker(), 10)
    assert sorted(numbers(again)) == list(range(10))
    assert {delivery.crashes for delivery in again} == {0}


# Operators


def test_a_paused_queue_is_not_handed_out_until_it_is_resumed(
    broker: RabbitBroker, make_broker: Callable[..., RabbitBroker]
) -> None:
    operator = make_broker()
    fetch(broker, 1, "a", "b", timeout=0.0)
    operator.pause("a")
    eventually(lambda: fetch(broker, 1, "a", "b", timeout=0.0) == [] and broker._made.pauses.names == {"a"}, 3)
    broker.enqueue_many([message(1, "a"), message(2, "b")])

    assert numbers(fetch(broker, 5, "a", "b")) == [2]
    assert fetch(broker, 5, "a", "b", timeout=0.3) == []

    operator.resume("a")
    assert numbers(fetch(broker, 5, "a", "b")) == [1]


def test_pauses_are_known_to_who_comes_later(make_broker: Callable[..., RabbitBroker]) -> None:
    first = make_broker()
    for queue in ("a", "b", "c"):
        first.pause(queue)
    first.resume("b")
    first.close()

    late = make_broker()
    for queue in ("a", "b", "c", "d"):
        late.declare_queue(queue)
    assert late.paused() == {"a", "c"}
    late.enqueue(message(1, "a"))
    assert fetch(late, 5, "a", timeout=0.3) == []


def test_a_process_holds_no_more_than_the_limit_of_a_queue(broker: RabbitBroker) -> None:
    broker.set_limits({"default": 2})
    broker.enqueue_many([message(number) for number in range(5)])

    deliveries = fetch_all(broker, 2)
    assert fetch(broker, timeout=0.3) == []

    settle(broker, deliveries[:1])
    assert len(fetch(broker)) == 1


def test_depths_count_what_is_ready_and_what_is_here(broker: RabbitBroker) -> None:
    broker.enqueue_many([message(number, priority=number - 1) for number in range(3)])
    assert eventually(lambda: broker.depths(["default", "other"])["default"].ready == 3)
    assert broker.depths(["other"])["other"] == (0, 0, 0, 0.0, 0)

    fetch_all(broker, 3)
    assert broker.depths(["default"])["default"] == (0, 3, 0, 0.0, 0)


def test_what_rabbitmq_cannot_do_is_refused_or_answered_safely(broker: RabbitBroker) -> None:
    assert broker.has([("default", "unknown.0")]) == [True]
    assert broker.alive() == {broker.broker_id}
    with pytest.raises(Unsupported, match="cancel the run"):
        broker.drop("default", "unknown.0")
    with pytest.raises(Unsupported, match="ledger"):
        broker.delayed("default")


def test_the_stock_consumer_reads_a_queue(broker: RabbitBroker) -> None:
    broker.declare_queue("default")
    sent = broker.enqueue(message(1))
    consumer = broker.consume("default", prefetch=2, timeout=5000)

    proxy = next(consumer)
    assert proxy is not None
    assert proxy.message_id == sent.message_id
    consumer.ack(proxy)
    consumer.close()
    assert eventually(lambda: broker.depths(["default"])["default"] == (0, 0, 0, 0.0, 0))


def test_a_deleted_queue_is_declared_again(broker: RabbitBroker, rabbitmq: RabbitServer, namespace: str) -> None:
    broker.enqueue(message(1))
    settle(broker, fetch(broker))
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.url))) as connection:
        connection.channel().queue_delete(f"{namespace}.default")

    eventually(lambda: broker._inbox and broker._inbox.session.reason, what="the consumer to be told")
    broker.enqueue(message(2))
    with pytest.raises(ConnectionClosed, match="deleted"):
        fetch(broker)
    assert numbers(fetch(broker)) == [2]


# Crashes

_HOLDER = """
import sys
from callboard.broker.rabbitmq import RabbitBroker
from callboard.broker.delivery import Lane
broker = RabbitBroker(url=sys.argv[1], middleware=[], namespace=sys.argv[2])
print(len(broker.fetch([Lane(("default",), 1)], 10.0)), flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_held_comes_again_at_once_with_its_crash_counted(
    broker: RabbitBroker,
    rabbitmq: RabbitServer,
    namespace: str,
) -> None:
    broker.enqueue(message(1))
    for crashes in (1, 2):
        command = [sys.executable, "-c", _HOLDER, rabbitmq.url, namespace]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == b"1\n"
            holder.kill()
        killed = time.monotonic()
        if crashes == 2:
            (delivery,) = fetch(broker)
            assert time.monotonic() - killed < 5
            assert delivery.crashes == crashes

    settle(broker, [delivery], GiveBack())
    assert fetch(broker)[0].crashes == 2


def test_a_cut_connection_is_told_once_and_then_mended(broker: RabbitBroker, rabbitmq: RabbitServer) -> None:
    broker.enqueue(message(1))
    (delivery,) = fetch(broker)
    errors: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(ConnectionClosed) as caught:
            fetch(broker, timeout=60.0)
        errors.append(caught.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    rabbitmq.ctl("close_all_connections", "test")
    waiting.join(10)
    assert len(errors) == 1

    with pytest.raises(ConnectionClosed):
        fetch(broker)  # the waiting one told its own caller; this one learns it too
    settle(broker, [delivery], Resend(0.0))  # left alone: it was given out again
    (again,) = fetch(broker)
    assert (again.id, again.crashes) == (delivery.id, 1)
    broker.enqueue(message(2))
    assert numbers(fetch(broker)) == [2]


def test_a_killed_server_keeps_what_it_confirmed(
    tmp_path: Path,
    rabbitmq: RabbitServer,
) -> None:
    del rabbitmq
    with closing(RabbitServer(tmp_path)) as server:
        server.start()
        with closing(RabbitBroker(url=server.url, middleware=[], namespace="kept")) as broker:
            broker.pause("stopped")
            broker.enqueue_many([message(number) for number in range(200)])
            broker.enqueue(message(200), delay=3000)
            held = fetch(broker, 1)

            server.kill()
            with pytest.raises(ConnectionClosed):
                broker.enqueue(message(0))
            server.start()

            found: dict[int, Delivery] = {}
            eventually(lambda: len(_collect(broker, found)) == 201, 30)
            assert found[numbers(held)[0]].crashes == 1
            assert broker.paused() == {"stopped"}


def _collect(broker: RabbitBroker, found: dict[int, Delivery]) -> dict[int, Delivery]:
    try:
        found.update(
            (delivery.message.args[0], delivery) for delivery in fetch(broker, 300, timeout=1.0) if delivery.message
        )
    except ConnectionClosed:
        return found
    return found


# Connections


def test_a_server_that_is_not_there_is_an_error(make_broker: Callable[..., RabbitBroker]) -> None:
    broker = make_broker("amqp://127.0.0.1:1/")
    for act in (lambda: broker.enqueue(message()), lambda: fetch(broker, timeout=0.1), lambda: broker.depths(["a"])):
        with pytest.raises(ConnectionClosed):
            act()


def test_the_nodes_of_a_cluster_are_tried_in_turn(
    make_broker: Callable[..., RabbitBroker],
    rabbitmq: RabbitServer,
) -> None:
    broker = make_broker(f"amqp://127.0.0.1:1/;{rabbitmq.url}")
    with pytest.raises(ConnectionClosed):
        broker.enqueue(message(1))
    broker.enqueue(message(1))


def test_tls(make_broker: Callable[..., RabbitBroker], rabbitmq: RabbitServer) -> None:
    broker = make_broker(rabbitmq.tls_url)
    broker.enqueue(message(1))
    assert numbers(fetch(broker)) == [1]

    with pytest.raises(ConnectionClosed):  # a certificate that nobody vouches for
        make_broker(rabbitmq.tls_url.partition("?")[0]).enqueue(message(1))


def test_many_threads_may_send_and_fetch_at_once(broker: RabbitBroker) -> None:
    def send(start: int) -> None:
        for number in range(start, start + 50):
            broker.enqueue(message(number))

    senders = [threading.Thread(target=send, args=(start,)) for start in range(0, 400, 50)]
    found: list[Delivery] = []

    def take() -> None:
        while len(found) < 400:
            deliveries = fetch(broker, 7, timeout=0.2)
            settle(broker, deliveries)
            found.extend(deliveries)

    takers = [threading.Thread(target=take) for _ in range(3)]
    for thread in [*senders, *takers]:
        thread.start()
    for thread in [*senders, *takers]:
        thread.join(30)

    assert sorted(numbers(found)) == list(range(400))
