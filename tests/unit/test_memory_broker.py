"""The broker in memory: its clock, and what `callboard.testing` makes of it; the contract is in tests/conformance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from dramatiq import Message

from callboard import Delays, NoRetry, job
from callboard.broker import Lane
from callboard.broker.memory import MemoryBroker, MemoryStore
from callboard.testing import MemoryBroker as DrainedBroker
from tests.support import eventually

if TYPE_CHECKING:
    from callboard.broker import Delivery


class HandClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(clock: HandClock) -> MemoryStore:
    return MemoryStore(clock=clock, lease_seconds=15, heartbeat_seconds=3)


def broker(store: MemoryStore) -> MemoryBroker:
    return MemoryBroker(store=store, middleware=[])


def message(number: int) -> Message[object]:
    return Message(queue_name="q", actor_name="work", args=(number,), kwargs={}, options={})


def take(worker: MemoryBroker, timeout: float = 0.0) -> list[Delivery]:
    return worker.fetch([Lane(("q",), 10)], timeout)


def test_delays_go_by_the_stores_clock(store: MemoryStore, clock: HandClock) -> None:
    worker = broker(store)
    worker.enqueue(message(1), delay=10_000)
    assert worker.delayed("q")[0].seconds == 10.0
    clock.now += 9.9
    assert take(worker) == []
    clock.now += 0.1
    assert len(take(worker)) == 1


def test_a_moved_clock_wakes_who_waits(store: MemoryStore, clock: HandClock) -> None:
    worker = broker(store)
    worker.enqueue(message(1), delay=3_600_000)
    found: list[Delivery] = []
    waiting = threading.Thread(target=lambda: found.extend(take(worker, 20)), daemon=True)
    waiting.start()
    clock.now += 3_600

    def woken() -> bool:
        store.wake()
        return not waiting.is_alive()

    eventually(woken)
    assert len(found) == 1


@pytest.mark.parametrize(("silence", "taken"), [(14.9, 0), (15.0, 2)])
def test_a_lease_ends_after_its_seconds(store: MemoryStore, clock: HandClock, silence: float, taken: int) -> None:
    dead, other = broker(store), broker(store)
    dead.enqueue_many([message(1), message(2)])
    assert len(take(dead)) == 2
    clock.now += silence
    assert (dead.broker_id in other.alive()) is (taken == 0)
    assert other.depths(["q"])["q"].orphaned == taken
    other.pulse()
    assert [delivery.crashes for delivery in take(other)] == [1] * taken


def test_fetching_renews_no_lease(store: MemoryStore, clock: HandClock) -> None:
    worker, other = broker(store), broker(store)
    worker.enqueue(message(1))
    assert len(take(worker)) == 1
    clock.now += 10
    assert take(worker) == []
    clock.now += 5
    other.pulse()
    assert len(take(other)) == 1


def test_a_pulse_names_the_next_due_moment(store: MemoryStore, clock: HandClock) -> None:
    worker = broker(store)
    assert worker.pulse() == 3
    worker.enqueue(message(1), delay=1_500)
    assert worker.pulse() == 1.5
    clock.now += 2
    assert worker.pulse() == 3


def test_the_oldest_is_as_old_as_its_wait(store: MemoryStore, clock: HandClock) -> None:
    worker = broker(store)
    worker.enqueue(message(1), delay=60_000)
    clock.now += 70
    worker.pulse()
    assert worker.depths(["q"])["q"].oldest_ready_seconds == 10.0


def test_two_brokers_share_nothing_unless_told() -> None:
    first, second = MemoryBroker(middleware=[]), MemoryBroker(middleware=[])
    first.enqueue(message(1))
    assert take(second) == []
    assert len(take(first)) == 1


# callboard.testing


def test_drain_runs_in_the_order_of_sending_and_of_due_times(callboard_broker: DrainedBroker) -> None:
    seen: list[str] = []

    @job("note", queue="one")
    def note(what: str) -> None:
        seen.append(what)

    @job("note_elsewhere", queue="two")
    def elsewhere(what: str) -> None:
        seen.append(what)

    note.send_with_options(args=("in a week",), delay=604_800_000)
    elsewhere.send_with_options(args=("in an hour",), delay=3_600_000)
    note.send("first")
    elsewhere.send("second")
    note.send("third")
    callboard_broker.drain()
    assert seen == ["first", "second", "third", "in an hour", "in a week"]


def test_drain_runs_the_urgent_first(callboard_broker: DrainedBroker) -> None:
    seen: list[str] = []
    lazy = job("lazy", priority=5)(lambda: seen.append("lazy"))
    urgent = job("urgent", priority=-5)(lambda: seen.append("urgent"))
    lazy.send()
    urgent.send()
    callboard_broker.drain()
    assert seen == ["urgent", "lazy"]


def test_what_was_sent_is_kept_retries_too(callboard_broker: DrainedBroker) -> None:
    @job("fail", retry=Delays(30))
    def fail() -> None:
        raise ValueError("no")

    sent = fail.send()
    (run,) = callboard_broker.drain()
    assert [one.message_id for one in callboard_broker.sent] == [sent.message_id] * 2
    assert (run.state, run.attempts) == ("failed", 2)


def test_a_paused_queue_stays_as_it_is(callboard_broker: DrainedBroker) -> None:
    tidy = job("tidy", queue="maintenance")(lambda: None)
    tidy.send()
    callboard_broker.pause("maintenance")
    assert callboard_broker.drain() == []
    callboard_broker.resume("maintenance")
    assert [run.state for run in callboard_broker.drain()] == ["completed"]


def test_a_job_that_sends_itself_for_ever_is_told(callboard_broker: DrainedBroker) -> None:
    @job("again", retry=NoRetry())
    def again() -> None:
        again.send()

    again.send()
    with pytest.raises(RuntimeError, match="5 attempts were made and messages are left"):
        callboard_broker.drain(most=5)
    assert callboard_broker.depths(["default"])["default"].ready == 1


def test_a_run_is_running_while_it_runs(callboard_broker: DrainedBroker) -> None:
    seen: list[tuple[str, int]] = []
    look = job("look")(lambda: seen.extend((run.state, run.attempts) for run in callboard_broker.runs))
    look.send()
    callboard_broker.drain()
    assert [run.state for run in callboard_broker.runs] == ["completed"]
    assert seen == [("running", 1)]
