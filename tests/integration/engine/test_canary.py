"""Canaries: sent by the scheduler's loop, through the broker, a worker and the ledger, and gone without a trace."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from callboard import all_jobs, bulk_replay, canary, job
from callboard.broker import Lane
from callboard.loading import load_actors
from callboard.notifications import QUEUE
from callboard.settings import LaneSetting, Settings, get_settings
from callboard.state import snapshot
from callboard.worker import Worker, plan_lanes
from observability.snapshot import BROKER
from scheduler.canary import Canaries
from scheduler.process import Scheduler
from tests.board import Board, open_board
from tests.rabbitmq import RabbitServer
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

RUNS = "select count(*) from board.runs where job = 'callboard_canary'"
BACK = "select count(*) from board.canaries where last_success_at > sent_at"


@pytest.fixture
def engine(board: Board) -> Engine:
    return create_engine(board.database_url, poolclass=NullPool)


@pytest.fixture
def canaries(board: Board, engine: Engine) -> Callable[..., Canaries]:
    """Declares two queues and makes the loop; its period has always passed when it looks again."""
    for queue in ("fast", "slow"):
        job(f"job_of_{queue}", queue=queue)(lambda: None)

    def make(*, seconds: float = 1e-6, leading: bool = True) -> Canaries:
        settings = board.settings.model_copy(update={"canary_seconds": seconds})
        return Canaries(engine, board.broker, settings, lambda: leading)

    return make


def waiting(board: Board) -> dict[str, int]:
    return {queue: depth.ready for queue, depth in board.broker.depths(["fast", "slow"]).items()}


def rows(board: Board) -> dict[str, Any]:
    return {row.queue: row for row in board.query("select * from board.canaries")}


def told(queue: str) -> datetime | None:
    (found,) = [facts.canary_at for facts in snapshot().queues if facts.queue == queue]
    return found


def test_canaries_come_back_from_every_queue_and_leave_no_run(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    loop.tick()
    before = {queue: told(queue) for queue in ("fast", "slow")}
    assert before == {queue: row.declared_at for queue, row in rows(board).items()}
    loop.tick()
    assert waiting(board) == {"fast": 1, "slow": 1}
    with board.worker():
        eventually(lambda: board.one(RUNS + " and state = 'completed'") == 2, what="both canaries' runs")
    assert sorted(row.queue for row in board.query("select queue from board.runs")) == ["fast", "slow"]
    later = canaries(seconds=3600)
    later.tick()
    assert (board.one(BACK), board.one(RUNS)) == (2, 0)
    for queue, declared in before.items():
        at = told(queue)
        assert at is not None
        assert declared is not None
        assert declared < at <= datetime.now(UTC)


def test_a_queue_without_workers_holds_one_canary_however_long(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    for _ in range(5):
        loop.tick()
    assert waiting(board) == {"fast": 1, "slow": 1}
    assert {row.last_success_at for row in rows(board).values()} == {None}


def test_a_canary_goes_before_the_jobs_of_its_queue(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    job("long_queue", queue="fast")(lambda: None).send_many([()] * 3)
    loop.tick()
    loop.tick()
    taken = board.broker.fetch([Lane(("fast",), 4)], 1)
    assert [delivery.message and delivery.message.actor_name for delivery in taken] == [
        "callboard_canary",
        *["long_queue"] * 3,
    ]
    board.broker.leave()


def test_a_paused_queue_gets_none_until_it_goes_on(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    loop.tick()
    board.broker.pause("slow")
    loop.tick()
    assert waiting(board) == {"fast": 1, "slow": 0}
    board.broker.resume("slow")
    loop.tick()
    assert waiting(board) == {"fast": 1, "slow": 1}


def test_a_canary_that_the_broker_lost_is_followed_by_another(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    loop.tick()
    loop.tick()
    board.broker.flush_all()
    loop.tick()
    assert waiting(board) == {"fast": 1, "slow": 1}


def test_a_broker_that_cannot_be_asked_gets_another_when_the_last_is_long_overdue(
    board: Board, canaries: Callable[..., Canaries], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board.broker, "knows_contents", False)
    loop = canaries()
    loop.tick()
    loop.tick()
    board.broker.flush_all()
    loop.tick()
    assert waiting(board) == {"fast": 0, "slow": 0}
    board.execute("update board.canaries set sent_at = now() - interval '11 minutes' where queue = 'slow'")
    loop.tick()
    assert waiting(board) == {"fast": 0, "slow": 1}


def test_the_period_is_kept_over_a_change_of_the_leader(board: Board, canaries: Callable[..., Canaries]) -> None:
    canaries(seconds=60).tick()
    assert waiting(board) == {"fast": 0, "slow": 0}, "the first one comes a period after the queue was declared"
    board.execute("update board.canaries set declared_at = now() - interval '61 s'")
    canaries(seconds=60).tick()
    board.broker.flush_all()
    canaries(seconds=60).tick()
    assert waiting(board) == {"fast": 0, "slow": 0}


def test_zero_seconds_turn_it_off_and_nobody_waits_for_it(board: Board, canaries: Callable[..., Canaries]) -> None:
    canaries().tick()
    assert set(rows(board)) == {"fast", "slow"}
    off = canaries(seconds=0)
    off.tick()
    off.tick()
    assert rows(board) == {}
    assert waiting(board) == {"fast": 0, "slow": 0}
    assert told("fast") is None


def test_a_standby_sends_nothing(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries(leading=False)
    loop.tick()
    loop.tick()
    assert (rows(board), waiting(board)) == ({}, {"fast": 0, "slow": 0})


def test_a_queue_that_is_gone_loses_its_row(board: Board, canaries: Callable[..., Canaries]) -> None:
    board.execute("insert into board.canaries (queue, last_success_at) values ('gone', now()), ('fast', now())")
    canaries().tick()
    assert set(rows(board)) == {"fast", "slow"}
    assert rows(board)["fast"].last_success_at is not None


def test_a_canary_that_failed_is_seen_for_an_hour_and_is_no_dead_letter(
    board: Board, canaries: Callable[..., Canaries]
) -> None:
    loop = canaries()
    loop.tick()
    loop.tick()

    def stuck() -> None:
        raise TimeoutError("stuck")

    board.broker.actors["callboard_canary"].fn = stuck
    with board.worker():
        eventually(lambda: board.one(RUNS + " and state = 'failed'") == 2, what="both canaries to fail")
    assert board.one("select count(*) from board.dead_letters") == 2
    loop.tick()
    assert (board.one(RUNS), board.one("select count(*) from board.dead_letters")) == (2, 0)
    assert {row.last_success_at for row in rows(board).values()} == {None}
    assert waiting(board) == {"fast": 1, "slow": 1}, "the next ones are on their way"
    board.execute("update board.runs set finished_at = now() - interval '61 minutes'")
    loop.tick()
    assert board.one(RUNS) == 0


def test_it_runs_in_the_threads_of_every_lane(board: Board, canaries: Callable[..., Canaries]) -> None:
    loop = canaries()
    loop.tick()
    loop.tick()
    settings = board.settings.model_copy(update={"lanes": (LaneSetting("slowly", ("slow",), 1),)})
    board.broker.emit_after("process_boot")
    worker = Worker(board.broker, plan_lanes(settings, board.broker.get_declared_queues()))
    worker.start()
    eventually(lambda: board.one(RUNS + " and state = 'completed'") == 2, what="a canary from each lane")
    assert worker.stop(timeout=20)


def test_it_is_declared_with_the_actors_and_is_no_job(board: Board) -> None:
    settings = Settings(actors=("tests.integration.cli.smoke_jobs",))
    before = canary.declare(board.broker)
    assert before is None, "without a queue there is nothing to declare"
    jobs = load_actors(settings)
    queues = {one.spec.queue for one in jobs.values()}
    declared = board.broker.actors[canary.NAME]
    assert isinstance(declared, canary.Canary)
    assert canary.NAME not in all_jobs()
    ours = {QUEUE, bulk_replay.QUEUE}
    assert board.broker.get_declared_queues() == queues | ours, "the canary brings no queue of its own"
    assert canary.declare(board.broker) is declared
    assert canary.NAME not in {facts.job for facts in snapshot().jobs}


def test_a_worker_that_does_not_know_its_name_does_not_bury_it_for_good(
    board: Board, canaries: Callable[..., Canaries], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_UNKNOWN_JOB_GRACE_SECONDS", "0")
    get_settings.cache_clear()
    loop = canaries()
    loop.tick()
    loop.tick()
    del board.broker.actors["callboard_canary"]
    with board.worker():
        eventually(lambda: waiting(board) == {"fast": 0, "slow": 0}, what="both canaries to be turned away")
        eventually(lambda: board.one("select count(*) from board.dead_letters") == 2)
    loop.tick()
    assert board.one("select count(*) from board.dead_letters") == 0


def test_the_scheduler_process_sends_it_and_notes_that_it_came_back(board: Board) -> None:
    job("quick", queue="fast")(lambda: None)
    settings = board.settings.model_copy(update={"canary_seconds": 0.2})
    scheduler = Scheduler(board.broker, settings)
    thread = threading.Thread(target=scheduler.loop)
    thread.start()
    with board.worker():
        eventually(lambda: board.one(BACK) == 1, what="the canary to come back")
        first = rows(board)["fast"].last_success_at
        eventually(lambda: rows(board)["fast"].last_success_at > first, what="the next one to come back")
    scheduler.stop()
    thread.join(20)
    assert board.one("select count(*) from board.totals where job = 'callboard_canary' and outcome = 'failed'") == 0


def test_it_comes_back_over_rabbitmq_and_the_exporter_says_only_what_that_can_tell(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, rabbitmq: RabbitServer
) -> None:
    with open_board(monkeypatch, postgres_url, rabbitmq.url, broker_namespace=f"canary-{uuid4().hex[:8]}") as board:
        job("quick", queue="fast")(lambda: None)
        settings = board.settings.model_copy(update={"canary_seconds": 1e-6})
        loop = Canaries(create_engine(board.database_url, poolclass=NullPool), board.broker, settings, lambda: True)
        loop.tick()
        loop.tick()
        eventually(lambda: board.broker.depths(["fast"])["fast"].ready == 1)
        told = snapshot()
        assert told.sources[BROKER].up
        (queue,) = told.queues
        assert (queue.ready, queue.claimed, queue.delayed, queue.orphaned) == (1, None, None, None)
        assert (queue.oldest_ready_age_seconds, queue.oldest_delayed_overdue_seconds) == (None, None)
        assert (queue.paused, told.clock_skew_seconds) == (False, None)
        with board.worker():
            eventually(lambda: board.one(RUNS + " and state = 'completed'") == 1, 20, what="the canary's run")
        later = Canaries(
            create_engine(board.database_url, poolclass=NullPool), board.broker, board.settings, lambda: True
        )
        later.tick()
        assert (board.one(BACK), board.one(RUNS)) == (1, 0)
