"""What the exporter is told of the queues, from a real broker and a real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dramatiq import set_broker

from callboard import job
from callboard.broker import Lane, RedisBroker
from callboard.compose import make_broker
from callboard.outcome import Acknowledge
from callboard.state import snapshot
from observability.snapshot import BROKER, POSTGRES, QueueFacts
from tests.board import Board

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def worker(board: Board) -> Iterator[RedisBroker]:
    """Another process's broker, as far as the server can tell."""
    made = make_broker(board.settings.broker_url)
    assert isinstance(made, RedisBroker)
    made.pulse(())
    yield made
    made.close()


def facts(queue: str) -> QueueFacts:
    (found,) = [facts for facts in snapshot().queues if facts.queue == queue]
    return found


def test_each_message_is_in_one_state(board: Board, worker: RedisBroker) -> None:
    declared = job("quick", queue="fast")(lambda: None)
    declared.send_many([()] * 4)
    declared.send_with_options(delay=60_000)
    taken = worker.fetch([Lane(("fast",), 3)], 1)
    worker.settle([(taken[0], Acknowledge())])
    found = facts("fast")
    assert (found.ready, found.claimed, found.delayed, found.orphaned, found.dead) == (1, 2, 1, 0, 0)
    assert found.oldest_ready_age_seconds is not None
    assert 0 < found.oldest_ready_age_seconds < 60
    worker.client.zadd(f"{worker.namespace}:leases", {worker.broker_id: 1})
    found = facts("fast")
    assert (found.ready, found.claimed, found.orphaned) == (1, 0, 2)
    board.broker.pulse(())
    board.broker.leave()


def test_a_pause_is_told_of(board: Board) -> None:
    job("quick", queue="fast")(lambda: None)
    job("slow", queue="slow")(lambda: None)
    board.broker.pause("slow")
    assert (facts("fast").paused, facts("slow").paused) == (False, True)
    board.broker.resume("slow")
    assert facts("slow").paused is False


def test_of_a_broker_that_is_away_nothing_is_known(board: Board) -> None:
    away = make_broker("redis://127.0.0.1:1")
    set_broker(away)
    job("quick", queue="fast")(lambda: None)
    found = snapshot()
    set_broker(board.broker)
    assert (found.sources[BROKER].up, found.sources[POSTGRES].up) == (False, True)
    (queue,) = found.queues
    assert (queue.ready, queue.orphaned, queue.paused) == (None, None, None)
    assert (queue.dead, queue.consumers) == (0, 0)
    away.close()
