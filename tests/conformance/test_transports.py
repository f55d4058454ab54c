"""What every transport does alike: the in-memory, the Redis, the RabbitMQ and the stock broker."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from callboard import ArgumentsError, CallboardError
from callboard.broker import Delivery, Lane, Transport
from callboard.outcome import Acknowledge, GiveBack, Settlement
from tests.conformance.rigs import Rig, message
from tests.conformance.steps import (
    Waiting,
    acknowledge,
    collect,
    depth_is,
    give_back,
    in_threads,
    nothing,
    numbers,
    resend,
    take,
)
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS = 3_600_000


@pytest.fixture
def worker(rig: Rig) -> Transport:
    return rig.worker()


# Sending


def test_a_queue_is_first_in_first_out(worker: Transport) -> None:
    for number in range(20):
        worker.enqueue(message(number))
    assert numbers(collect(worker, 20)) == list(range(20))


def test_a_message_comes_out_as_it_went_in(worker: Transport) -> None:
    sent = message(7, note="é ☃", nested={"a": [1, None, 2.5]})
    worker.enqueue(sent)
    (delivery,) = collect(worker, 1)
    assert delivery.message is not None
    assert (delivery.queue, delivery.crashes, delivery.defect) == ("q", 0, "")
    assert delivery.message.asdict() | {"options": {}} == sent.asdict() | {"options": {}}
    assert delivery.message.options.items() >= sent.options.items()
    assert b"\xe2\x98\x83" in delivery.body or b"\\u2603" in delivery.body


def test_the_urgent_overtake_what_is_queued(worker: Transport) -> None:
    for number, actor in enumerate(["lazy", "work", "urgent", "lazy", "work", "urgent"]):
        worker.enqueue(message(number, actor=actor))
    found = [number for _ in range(6) for number in numbers(collect(worker, 1))]
    assert found == [2, 5, 1, 4, 0, 3]


def test_a_message_may_name_its_own_priority(worker: Transport) -> None:
    worker.enqueue(message(0, actor="urgent"))
    worker.enqueue(message(1, actor="lazy", priority=-20))
    assert numbers(collect(worker, 2)) == [1, 0]


def test_what_is_there_is_not_enqueued_again(worker: Transport) -> None:
    sent, later = message(1), message(2)
    for _ in range(2):
        worker.enqueue(sent)
        worker.enqueue(later, delay=HOUR_MS)
    worker.enqueue_many([sent, later])
    assert depth_is(worker, 1, 0, 1)
    (delivery,) = collect(worker, 1)
    worker.enqueue(sent)
    assert depth_is(worker, 0, 1, 1)
    acknowledge(worker, [delivery])
    assert depth_is(worker, 0, 0, 1)


def test_a_settled_message_can_be_sent_anew(worker: Transport) -> None:
    sent = message(1)
    for _ in range(2):
        worker.enqueue(sent)
        acknowledge(worker, collect(worker, 1))
    assert depth_is(worker, 0, 0, 0)


def test_ten_thousand_in_one_batch_keep_their_order(worker: Transport) -> None:
    sent = [message(number) for number in range(10_000)]
    assert [one.message_id for one in worker.enqueue_many(sent)] == [one.message_id for one in sent]
    assert depth_is(worker, 10_000, 0, 0)
    found: list[int] = []
    while len(found) < 10_000:
        deliveries = take(worker, 900, timeout=5)
        assert deliveries, f"only {len(found)} came out"
        found += numbers(deliveries)
        acknowledge(worker, deliveries)
    assert found == list(range(10_000))


def test_an_empty_batch_is_nothing(worker: Transport) -> None:
    assert worker.enqueue_many([]) == []
    worker.settle([])


@pytest.mark.parametrize("size", [3, 2_500])
def test_one_bad_message_stops_the_whole_batch(worker: Transport, size: int) -> None:
    batch = [message(number) for number in range(size)]
    batch[-1].kwargs["when"] = float("nan")
    with pytest.raises(ArgumentsError, match="kwargs"):
        worker.enqueue_many(batch)
    assert depth_is(worker, 0, 0, 0)


def test_a_message_over_the_limit_is_refused(worker: Transport) -> None:
    with pytest.raises(ArgumentsError, match=r"'work' has 3\d\d,\d\d\d bytes.*CALLBOARD_MESSAGE_MAX_BYTES"):
        worker.enqueue(message(1, text="x" * 300_000))
    assert depth_is(worker, 0, 0, 0)


# Fetching


def test_each_lane_gets_what_it_has_room_for(worker: Transport) -> None:
    for number in range(5):
        worker.enqueue_many([message(number, queue) for queue in ("q", "other", "third")])
    found: list[Delivery] = []

    def first_round() -> bool:
        room = {"q": 2 - sum(one.queue == "q" for one in found)}
        room["rest"] = 3 - (len(found) - (2 - room["q"]))
        found.extend(worker.fetch([Lane(("q",), room["q"]), Lane(("other", "third"), room["rest"])], 0.05))
        return len(found) == 5

    eventually(first_round)
    count = Counter(delivery.queue for delivery in found)
    assert (count["q"], count["other"] + count["third"]) == (2, 3)


def test_a_full_lane_gets_nothing(worker: Transport) -> None:
    worker.enqueue_many([message(1), message(2, "other")])
    lanes = [Lane(("q",), 0), Lane(("other",), 5)]
    assert numbers(eventually(lambda: worker.fetch(lanes, 0.05))) == [2]
    assert worker.fetch(lanes, 0.05) == []
    assert depth_is(worker, 1, 0, 0)


def test_queues_of_a_lane_take_turns(worker: Transport) -> None:
    worker.enqueue_many([message(number, queue) for queue in ("q", "other", "third") for number in range(30)])
    first = [delivery.queue for _ in range(30) for delivery in collect(worker, 1, "q", "other", "third")]
    assert min(Counter(first)[queue] for queue in ("q", "other", "third")) >= 5


def test_a_fetch_waits_and_wakes_when_something_comes(worker: Transport, rig: Rig) -> None:
    worker.pulse()
    waiting = Waiting(worker, "q", "other")
    assert waiting.still()
    began = time.monotonic()
    rig.worker().enqueue(message(1, "other"))
    assert numbers(waiting.result(within=1, since=began)) == [1]


def test_a_fetch_wakes_for_the_due(worker: Transport, rig: Rig) -> None:
    worker.pulse()
    waiting = Waiting(worker)
    assert waiting.still()
    rig.worker().enqueue(message(1), delay=100)
    eventually(lambda: worker.pulse() and not waiting.still(0.02), 5)
    assert numbers(waiting.result(within=1)) == [1]


def test_all_waiting_fetches_are_interrupted(worker: Transport) -> None:
    worker.pulse()
    fetches = [Waiting(worker), Waiting(worker, "other")]
    assert all(fetch.still() for fetch in fetches)
    worker.interrupt()
    assert [fetch.result(within=1) for fetch in fetches] == [[], []]
    worker.enqueue(message(1))
    assert numbers(collect(worker, 1)) == [1]


def test_an_interrupt_is_for_this_process_only(worker: Transport, rig: Rig) -> None:
    other = rig.worker()
    other.pulse()
    waiting = Waiting(other)
    assert waiting.still()
    worker.interrupt()
    assert waiting.still()
    worker.enqueue(message(1))
    assert numbers(waiting.result(within=1)) == [1]


def test_a_fetch_of_nothing_ends_in_time(worker: Transport) -> None:
    worker.pulse()
    began = time.monotonic()
    assert take(worker, timeout=0.3) == []
    assert 0.2 < time.monotonic() - began < 3


def test_no_message_is_given_to_two(worker: Transport, rig: Rig) -> None:
    fleet = [rig.worker() for _ in range(3)]
    seen: list[list[int]] = [[] for _ in fleet]

    def consume(number: int) -> None:
        me = fleet[number]
        while sum(map(len, seen)) < 1_000:
            got = take(me, 7, timeout=0.1)
            seen[number] += numbers(got)
            acknowledge(me, got)

    def produce(start: int) -> None:
        for number in range(start, start + 500, 20):
            worker.enqueue_many([message(number + i) for i in range(20)])

    in_threads(*(lambda n=n: consume(n) for n in range(3)), *(lambda n=n: produce(n) for n in (0, 500)))
    assert sorted(number for numbers_of_one in seen for number in numbers_of_one) == list(range(1_000))
    assert depth_is(worker, 0, 0, 0)


# Settling


def test_a_batch_is_settled_each_as_decided(worker: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(4)])
    one, two, three, four = collect(worker, 4)
    batch: list[tuple[Delivery, Settlement]]
    batch = [(one, Acknowledge()), resend(two, 3_600), (three, GiveBack()), (four, Acknowledge())]
    worker.settle(batch)
    assert depth_is(worker, 1, 0, 1)
    worker.settle(batch)
    assert depth_is(worker, 1, 0, 1)
    assert numbers(collect(worker, 1)) == [2]


def test_what_was_settled_cannot_be_settled_otherwise(worker: Transport) -> None:
    worker.enqueue(message(1))
    (delivery,) = collect(worker, 1)
    acknowledge(worker, [delivery])
    give_back(worker, [delivery])
    worker.settle([resend(delivery, 0)])
    assert depth_is(worker, 0, 0, 0)
    assert nothing(worker)


def test_a_resent_message_comes_back_as_the_next_attempt(worker: Transport, rig: Rig) -> None:
    sent = message(1, note="kept")
    worker.enqueue(sent)
    (first,) = collect(worker, 1)
    worker.settle([resend(first, rig.seconds(1_000))])
    assert nothing(worker)
    rig.hasten(1_001)
    (second,) = collect(worker, 1)
    assert second.message is not None
    assert (second.message.message_id, second.message.options["note"]) == (sent.message_id, "kept")
    assert second.message.options["retries"] == 1
    assert (first.id, second.id) == (f"{sent.message_id}.0", f"{sent.message_id}.1")


def test_a_message_can_be_resent_under_the_same_id(worker: Transport) -> None:
    worker.enqueue(message(1))
    (first,) = collect(worker, 1)
    worker.settle([resend(first, 0, raised=False)])
    assert numbers(collect(worker, 1)) == [1]
    assert depth_is(worker, 0, 1, 0)


def test_what_is_given_back_is_next(worker: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(5)])
    give_back(worker, collect(worker, 3))
    assert numbers(collect(worker, 5)) == [0, 1, 2, 3, 4]


def test_what_is_given_back_does_not_overtake_the_urgent(worker: Transport) -> None:
    worker.enqueue_many([message(0), message(1)])
    got = collect(worker, 1)
    worker.enqueue(message(2, actor="urgent"))
    give_back(worker, got)
    assert [number for _ in range(3) for number in numbers(collect(worker, 1))] == [2, 0, 1]


def test_a_large_batch_is_settled(worker: Transport) -> None:
    worker.enqueue_many([message(number) for number in range(2_500)])
    got = collect(worker, 2_500)
    worker.settle([(delivery, GiveBack() if number % 2 else Acknowledge()) for number, delivery in enumerate(got)])
    assert depth_is(worker, 1_250, 0, 0)
    assert numbers(collect(worker, 3)) == [1, 3, 5]


# Delays


def test_the_delayed_come_in_the_order_they_are_due(worker: Transport, rig: Rig) -> None:
    for number, delay in enumerate([3_000_000, 1_000_000, 2_000_000]):
        worker.enqueue(message(number), delay=int(rig.seconds(delay)))
    assert nothing(worker)
    assert depth_is(worker, 0, 0, 3)
    rig.hasten(2_500)
    assert numbers(collect(worker, 2)) == [1, 2]
    assert depth_is(worker, 0, 2, 1)


@pytest.mark.parametrize("skew", [-3_600, 3_600])
def test_a_delay_goes_by_the_servers_clock(worker: Transport, monkeypatch: pytest.MonkeyPatch, skew: float) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + skew)
    monkeypatch.setattr("dramatiq.brokers.redis.current_millis", lambda: int(time.time() * 1000))
    began = time.monotonic()
    worker.enqueue(message(1), delay=300)
    monkeypatch.undo()
    collect(worker, 1)
    assert 0.28 < time.monotonic() - began < 3


def test_the_far_future_holds_nothing_up(worker: Transport, rig: Rig) -> None:
    worker.enqueue_many([message(number) for number in range(9_000)], delay=rig.far_ms)
    assert nothing(worker)
    worker.enqueue(message(9_000), delay=50)
    worker.enqueue(message(9_001))
    assert sorted(numbers(collect(worker, 2))) == [9_000, 9_001]
    assert depth_is(worker, 0, 2, 9_000)


def test_the_delayed_can_be_listed(worker: Transport) -> None:
    for number, delay in enumerate([3 * HOUR_MS, HOUR_MS, 2 * HOUR_MS]):
        worker.enqueue(message(number), delay=delay)
    if not worker.knows_contents:
        with pytest.raises(CallboardError, match="cannot show the delayed messages of 'q'"):
            worker.delayed("q")
        return
    rows = worker.delayed("q", limit=2)
    assert [round(row.seconds, -2) for row in rows] == [3_600, 7_200]
    assert [b'"args":[1]' in row.body for row in rows] == [True, False]
    assert worker.drop("q", rows[0].delivery)
    assert [round(row.seconds, -2) for row in worker.delayed("q")] == [7_200, 10_800]
    assert worker.delayed("other") == []


# Operating


def test_only_what_waits_can_be_dropped(worker: Transport) -> None:
    sent = [message(number) for number in range(3)]
    worker.enqueue_many(sent[:2])
    worker.enqueue(sent[2], delay=HOUR_MS)
    names = [f"{one.message_id}.0" for one in sent]
    if not worker.knows_contents:
        with pytest.raises(CallboardError, match="cancel the run"):
            worker.drop("q", names[0])
        return
    (claimed,) = collect(worker, 1)
    assert [worker.drop("q", name) for name in names] == [False, True, True]
    assert not any(worker.drop("q", name) for name in (*names[1:], "nonsense"))
    assert depth_is(worker, 0, 1, 0)
    acknowledge(worker, [claimed])
    assert nothing(worker)


def test_the_broker_knows_what_it_holds(worker: Transport) -> None:
    sent = [message(number) for number in range(3)]
    wanted = [("q", f"{one.message_id}.0") for one in sent]
    worker.enqueue_many(sent[:2])
    worker.enqueue(sent[2], delay=HOUR_MS)
    got = collect(worker, 1)
    assert worker.has(wanted) == [True, True, True]
    acknowledge(worker, got)
    worker.settle([resend(one, 3_600) for one in collect(worker, 1)])
    asked = [*wanted, ("q", f"{sent[1].message_id}.1"), ("other", wanted[2][1])]
    known = [False, False, True, True, False]
    assert worker.has(asked) == (known if worker.knows_contents else [True] * 5)
    assert worker.has([]) == []


def test_a_paused_queue_takes_and_does_not_give(worker: Transport, rig: Rig) -> None:
    worker.enqueue_many([message(1), message(2, "other")])
    rig.worker().pause("q")
    worker.enqueue(message(3))
    assert numbers(collect(worker, 1, "q", "other")) == [2]
    assert nothing(worker, "q", "other")
    assert worker.paused() == {"q"}
    rig.worker().resume("q")
    assert numbers(collect(worker, 2, "q", "other")) == [1, 3]
    assert worker.paused() == set()


def test_pause_and_resume_reach_a_waiting_fetch(worker: Transport, rig: Rig) -> None:
    operator = rig.worker()
    worker.pulse()
    waiting = Waiting(worker)
    assert waiting.still()
    operator.pause("q")
    operator.enqueue(message(1))
    assert waiting.still(0.4)
    began = time.monotonic()
    operator.resume("q")
    assert numbers(waiting.result(within=1, since=began)) == [1]


def test_a_limit_holds_over_all_workers(worker: Transport, rig: Rig) -> None:
    other = rig.worker()
    worker.enqueue_many([message(number) for number in range(5)])
    worker.set_limits({"q": 2, "other": None})
    mine = collect(worker, 2)
    assert nothing(worker)
    assert nothing(other)
    waiting = Waiting(other)
    assert waiting.still()
    began = time.monotonic()
    acknowledge(worker, mine[:1])
    assert numbers(waiting.result(within=1, since=began)) == [2]
    other.set_limits({"q": None})
    assert numbers(collect(other, 2)) == [3, 4]


def test_depths_count_everything_once(worker: Transport, rig: Rig) -> None:
    worker.enqueue_many([message(number) for number in range(6)])
    worker.enqueue_many([message(number) for number in range(6, 9)], delay=HOUR_MS)
    worker.enqueue(message(9, "other"))
    got = collect(worker, 3)
    assert depth_is(worker, 3, 3, 3)
    worker.settle([(got[0], Acknowledge()), resend(got[1], rig.seconds(2_000)), (got[2], GiveBack())])
    assert depth_is(worker, 4, 0, 4)
    rig.hasten(2_001)
    worker.pulse()
    assert depth_is(worker, 5, 0, 3)
    assert depth_is(worker, 1, 0, 0, "other")
    assert depth_is(worker, 0, 0, 0, "third")


def test_the_oldest_waits_longest(worker: Transport) -> None:
    assert worker.depths(["q"])["q"].oldest_ready_seconds == 0.0
    worker.enqueue(message(1, actor="lazy"))
    if not worker.knows_contents:
        assert worker.depths(["q"])["q"].oldest_ready_seconds == 0.0
        return
    eventually(lambda: worker.depths(["q"])["q"].oldest_ready_seconds > 0.1, 2)
    worker.enqueue(message(2, actor="urgent"))
    assert 0.1 < worker.depths(["q"])["q"].oldest_ready_seconds < 30


def test_namespaces_do_not_see_each_other(worker: Transport, rig: Rig) -> None:
    elsewhere = rig.another()
    try:
        stranger = elsewhere.worker()
        worker.enqueue_many([message(1), message(2)])
        collect(worker, 1)
        assert nothing(stranger)
        assert depth_is(stranger, 0, 0, 0)
        stranger.leave()
        assert depth_is(worker, 1, 1, 0)
    finally:
        elsewhere.close()


def test_closing_twice_is_harmless(worker: Transport) -> None:
    worker.enqueue(message(1))
    worker.close()
    worker.close()


@pytest.fixture(autouse=True)
def _workers_leave(rig: Rig) -> Iterator[None]:
    """Every worker can leave, whatever the test did to it."""
    yield
    for worker in rig.opened:
        if isinstance(worker, Transport):
            worker.leave()
