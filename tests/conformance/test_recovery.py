"""What every transport does when workers die, replies are lost, bodies are garbage, and the stock worker reads it."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Retries

from callboard.broker import Delivery, Transport
from callboard.outcome import Acknowledge, GiveBack, Settlement
from tests.conformance.rigs import Rig, message
from tests.conformance.steps import (
    Waiting,
    acknowledge,
    collect,
    depth_is,
    give_back,
    nothing,
    numbers,
    resend,
    take,
)
from tests.conformance.stock import stock_broker
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def worker(rig: Rig) -> Transport:
    return rig.worker()


@pytest.fixture
def other(rig: Rig) -> Transport:
    return rig.worker()


# Dead workers


def test_another_worker_takes_over_from_the_dead(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(5)])
    collect(worker, 3)
    rig.expire(worker)
    found = collect(other, 5)
    assert sorted(numbers(found)[:3]) == [0, 1, 2]
    assert sorted((number, one.crashes) for number, one in zip(numbers(found), found, strict=True)) == [
        (0, 1),
        (1, 1),
        (2, 1),
        (3, 0),
        (4, 0),
    ]
    assert depth_is(other, 0, 5, 0)


def test_a_waiting_worker_gets_what_the_dead_held(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    collect(worker, 1)
    third = rig.worker()
    third.pulse()
    waiting = Waiting(third)
    assert waiting.still()
    rig.expire(worker)
    eventually(lambda: other.pulse() and not waiting.still(0.02))
    assert numbers(waiting.result(within=1)) == [1]


def test_each_crash_is_counted(rig: Rig) -> None:
    rig.worker().enqueue(message(1))
    for crashes in range(4):
        victim = rig.worker()
        (found,) = collect(victim, 1)
        assert found.crashes == crashes
        rig.expire(victim)


def test_a_message_that_comes_later_keeps_its_crashes(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    collect(worker, 1)
    rig.expire(worker)
    other.settle([resend(one, 0) for one in collect(other, 1)])
    (again,) = collect(other, 1)
    assert again.crashes == 1


def test_the_old_holder_settles_in_vain(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(3)])
    lost = collect(worker, 3)
    rig.expire(worker)
    found = collect(other, 3)
    worker.settle([(lost[0], Acknowledge()), (lost[1], GiveBack()), resend(lost[2], 0)])
    assert depth_is(other, 0, 3, 0)
    assert nothing(worker)
    acknowledge(other, found)
    assert depth_is(other, 0, 0, 0)


def test_a_late_pulse_keeps_what_nobody_took(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    mine = collect(worker, 1)
    rig.expire(worker)
    worker.pulse()
    assert all(nothing(other) for _ in range(3))
    acknowledge(worker, mine)
    assert depth_is(worker, 0, 0, 0)


def test_the_living_are_left_alone(worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    mine = collect(worker, 1)
    assert all(nothing(other) for _ in range(5))
    acknowledge(worker, mine)
    assert depth_is(worker, 0, 0, 0)


def test_a_worker_whose_lease_ended_works_on(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    collect(worker, 1)
    rig.expire(worker)
    acknowledge(other, collect(other, 1))
    with suppress(ConnectionClosed):  # where the lease is the connection, its end is told once
        assert take(worker) == []
    other.leave()
    other.enqueue(message(2))
    acknowledge(worker, collect(worker, 1))
    assert depth_is(worker, 0, 0, 0)


def test_orphans_are_counted(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(3)])
    collect(worker, 2)
    assert other.depths(["q"])["q"].orphaned == 0
    if not worker.knows_contents:
        return
    rig.expire(worker)
    assert other.depths(["q"])["q"][:3] == (1, 2, 0)
    assert other.depths(["q"])["q"].orphaned == 2


def test_the_broker_knows_who_is_alive(rig: Rig, worker: Transport, other: Transport) -> None:
    worker.pulse()
    other.pulse()
    if not worker.knows_contents:
        assert worker.broker_id in worker.alive()
        return
    assert worker.alive() == {worker.broker_id, other.broker_id}
    rig.expire(worker)
    assert other.alive() == {other.broker_id}
    other.leave()
    assert worker.alive() == set()


def test_who_leaves_gives_back_at_once(worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(3)])
    worker.enqueue(message(3, "other"))
    collect(worker, 4, "q", "other")
    worker.leave()
    found = collect(other, 4, "q", "other")
    assert (sorted(numbers(found)), {one.crashes for one in found}) == ([0, 1, 2, 3], {0})
    worker.leave()
    assert depth_is(other, 0, 3, 0)


def test_a_pulse_tells_when_to_come_again(worker: Transport) -> None:
    assert 0 <= worker.pulse() <= 3
    worker.enqueue(message(1), delay=60_000)
    assert 0 <= worker.pulse() <= 3
    assert nothing(worker)


# Lost replies


def test_what_a_worker_does_not_know_of_goes_back(worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(3)])
    collect(worker, 3)
    worker.pulse(held=())
    worker.pulse(held=())
    found = collect(other, 3)
    assert (sorted(numbers(found)), {one.crashes for one in found}) == ([0, 1, 2], {0})


def test_only_the_unknown_go_back(worker: Transport, other: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(3)])
    got = collect(worker, 3)
    known = [got[0].id, got[2].id, "settled-long-ago"]
    for _ in range(3):
        worker.pulse(held=known)
    assert numbers(collect(other, 1)) == [1]
    assert nothing(other)
    assert depth_is(other, 0, 3, 0)


def test_one_look_gives_nothing_back(worker: Transport, other: Transport) -> None:
    worker.enqueue(message(1))
    got = collect(worker, 1)
    for _ in range(3):
        worker.pulse(held=())
        worker.pulse(held=[got[0].id])
        worker.pulse()
    assert nothing(other)
    acknowledge(worker, got)
    assert depth_is(worker, 0, 0, 0)


def test_a_repeated_enqueue_is_one_message(worker: Transport) -> None:
    sent = [message(number) for number in range(3)]
    for _ in range(2):
        worker.enqueue_many(sent)
    found = collect(worker, 3)
    assert numbers(found) == [0, 1, 2]
    assert nothing(worker)
    acknowledge(worker, found)
    assert depth_is(worker, 0, 0, 0)


# Bodies that are no messages


def _body(**changes: Any) -> bytes:  # noqa: ANN401 - whatever breaks it
    fields = json.loads(message(1).encode()) | changes
    return json.dumps({name: value for name, value in fields.items() if value != "left out"}).encode()


BODIES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "truncated": lambda: _body()[:40],
    "not-utf-8": lambda: b"\xff\xfe\x00",
    "null": lambda: b"null",
    "list": lambda: b"[]",
    "text": lambda: b'"message"',
    "number": lambda: b"17",
    "deep": lambda: b"[" * 10_000 + b"]" * 10_000,
    "nan": lambda: _body(args=[float("nan")]),
    "infinity": lambda: _body(kwargs={"x": float("inf")}),
    "another-queue": lambda: _body(queue_name="elsewhere"),
    "queue-is-no-text": lambda: _body(queue_name=["q"]),
    "no-queue": lambda: _body(queue_name="left out"),
    "no-actor": lambda: _body(actor_name="left out"),
    "actor-is-null": lambda: _body(actor_name=None),
    "no-id": lambda: _body(message_id="left out"),
    "id-is-no-uuid": lambda: _body(message_id="../../etc"),
    "no-args": lambda: _body(args="left out"),
    "args-are-a-dict": lambda: _body(args={"x": 1}),
    "kwargs-are-a-list": lambda: _body(kwargs=[1]),
    "options-are-null": lambda: _body(options=None),
    "timestamp-is-text": lambda: _body(message_timestamp="now"),
    "timestamp-is-true": lambda: _body(message_timestamp=True),
    "timestamp-is-huge": lambda: _body(message_timestamp=10**17),
    "timestamp-is-negative": lambda: _body(message_timestamp=-1),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_bad_body_is_told_and_harms_nobody(rig: Rig, worker: Transport, kind: str) -> None:
    body = BODIES[kind]()
    worker.enqueue(message(1))
    rig.forge("q", f"{uuid4()}.0", body)
    worker.enqueue(message(2))
    found = collect(worker, 3)
    assert found[1].message is None
    assert found[1].defect
    assert found[1].body == body
    assert numbers([found[0], found[2]]) == [1, 2]
    acknowledge(worker, found)
    assert depth_is(worker, 0, 0, 0)


def test_a_bad_body_can_be_given_back(rig: Rig, worker: Transport) -> None:
    rig.forge("q", f"{uuid4()}.0", b"{")
    give_back(worker, collect(worker, 1))
    (again,) = collect(worker, 1)
    assert (again.message, again.body) == (None, b"{")


# The stock worker


@contextmanager
def _stock_worker(broker: dramatiq.Broker) -> Iterator[None]:
    reader = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    reader.start()
    try:
        yield
    finally:
        reader.stop(timeout=10_000)
        broker.middleware.pop()  # the worker's own, which stock Dramatiq leaves behind


def test_the_stock_worker_runs_an_actor(worker: Transport) -> None:
    seen: list[int] = []
    broker = stock_broker(worker)
    actor = dramatiq.actor(broker=broker, actor_name="keep", queue_name="third")(seen.append)
    for number in range(50):
        actor.send(number)
    with _stock_worker(broker):
        eventually(lambda: len(seen) == 50)
        assert depth_is(worker, 0, 0, 0, "third")
    assert sorted(seen) == list(range(50))


def test_the_stock_worker_retries_after_a_delay(worker: Transport) -> None:
    seen: list[int] = []
    broker = stock_broker(worker)
    broker.add_middleware(Retries(max_retries=3, min_backoff=50, max_backoff=100))

    def fail_twice(number: int) -> None:
        seen.append(number)
        if len(seen) < 3:
            raise ValueError(number)

    dramatiq.actor(broker=broker, queue_name="third")(fail_twice).send(7)
    with _stock_worker(broker):
        eventually(lambda: seen == [7, 7, 7])
        assert depth_is(worker, 0, 0, 0, "third")


def test_a_bad_body_does_not_stop_the_stock_worker(rig: Rig, worker: Transport) -> None:
    seen: list[int] = []
    buried: list[Delivery] = []

    def bury(delivery: Delivery) -> Settlement:
        buried.append(delivery)
        return Acknowledge()

    worker.on_defect = bury
    broker = stock_broker(worker)
    actor = dramatiq.actor(broker=broker, actor_name="keep", queue_name="third")(seen.append)
    for number in range(6):
        actor.send(number)
        rig.forge("third", f"{uuid4()}.0", b"{")
    with _stock_worker(broker):
        assert depth_is(worker, 0, 0, 0, "third")
    assert (sorted(seen), len(buried)) == ([0, 1, 2, 3, 4, 5], 6)


def test_a_stopped_stock_worker_gives_back(worker: Transport, other: Transport) -> None:
    broker = stock_broker(worker)
    reading = broker.consume("q", prefetch=10, timeout=1_000)
    worker.enqueue_many([message(number) for number in range(3)])
    proxies: list[Any] = []
    while len(proxies) < 3:
        proxy = next(reading)
        proxies += [] if proxy is None else [proxy]
    reading.requeue(proxies)
    reading.close()
    worker.leave()
    assert sorted(numbers(collect(other, 3))) == [0, 1, 2]
