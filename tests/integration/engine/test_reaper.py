"""Who is declared dead: a worker whose lease is over in the ledger and in the broker, and nobody else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from callboard import transaction
from callboard.broker.memory import MemoryBroker
from callboard.compose import make_broker
from callboard.ledger import runs, workers
from callboard.ledger.database import get_engine
from scheduler.reaper import Reaper
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from callboard.broker import Transport


def reaper(board: Board, broker: Transport | None = None) -> Reaper:
    return Reaper(get_engine(), broker or board.broker, board.settings, lambda: True)


def register(broker_id: str, *, lease: float = -1) -> UUID:
    """A worker whose lease in the ledger ends so many seconds from now."""
    worker_id = uuid4()
    with transaction() as connection:
        row = {"host": "h", "pid": 1, "version": "0", "queues": ["default"], "threads": 1}
        workers.register(connection, lease=lease, id=worker_id, broker_id=broker_id, **row)
    return worker_id


def dead(board: Board) -> set[UUID]:
    return {row.id for row in board.query("select id from board.workers where state = 'dead'")}


def test_a_worker_that_the_broker_still_hears_lives(board: Board) -> None:
    board.broker.pulse(())
    heard, unheard = register(board.broker.broker_id), register("gone")
    in_the_ledger = register("also gone", lease=60)
    reaper(board).tick()
    assert dead(board) == {unheard}
    board.broker.leave()
    reaper(board).tick()
    assert dead(board) == {unheard, heard}
    assert in_the_ledger not in dead(board)


def test_runs_of_a_worker_that_lives_are_not_lost(board: Board) -> None:
    board.broker.pulse(())
    worker_id = register(board.broker.broker_id)
    board.execute(
        "insert into board.runs"
        " (id, created_at, job, queue, state, trigger, correlation_id, worker_id, token, started_at)"
        " values (gen_random_uuid(), now(), 'j', 'q', 'running', 't', 'c', :worker_id, 1, now() - interval '1 h')",
        worker_id=worker_id,
    )
    loop = reaper(board)
    loop.tick()
    assert board.one("select state from board.runs") == "running"
    board.broker.leave()
    loop.tick()
    assert board.one("select state from board.runs") == "pending"


def test_nobody_with_a_broker_is_declared_dead_while_it_cannot_be_asked(
    board: Board, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    away = make_broker("redis://127.0.0.1:1")
    register("gone")
    inline = register("")
    loop = reaper(board, away)
    loop.tick()
    assert dead(board) == {inline}
    assert "reaper.broker_away" in capsys.readouterr().out + caplog.text
    away.close()


def test_live_workers_survive_an_absence_of_the_ledger(board: Board) -> None:
    """What is left of an outage of half a minute: every lease in the ledger is over, and the broker's are not."""
    with board.worker():
        worker_id = board.one("select id from board.workers")
        board.execute("update board.workers set lease_until = now() - interval '20 s'")
        reaper(board).tick()
        assert dead(board) == set()
        eventually(lambda: board.one("select lease_until > now() from board.workers"), 15)
    reaper(board).tick()
    assert board.query("select id, state from board.workers") == [(worker_id, "stopped")]


class Blind(MemoryBroker):
    """A broker that knows of no leases but its own, as RabbitMQ does."""

    knows_contents = False

    def alive(self) -> set[str]:
        return {self.broker_id}


def test_without_leases_in_the_broker_a_worker_must_be_silent_for_another_lease(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("scheduler.reaper.time", SimpleNamespace(monotonic=lambda: now))
    silent, back = register("a"), register("b")
    loop = reaper(board, Blind())
    loop._tick()
    now += board.settings.lease_seconds - 0.1
    loop._tick()
    assert dead(board) == set()
    with transaction() as connection:
        workers.beat(connection, back, lease=60, busy=0, queues=())
    now += 0.1
    loop._tick()
    assert dead(board) == {silent}


def test_a_lease_that_is_renewed_while_the_broker_is_asked_counts(board: Board) -> None:
    worker_id = register("a")

    class Late(MemoryBroker):
        def alive(self) -> set[str]:
            with transaction() as connection:
                workers.beat(connection, worker_id, lease=60, busy=0, queues=())
            return set()

    reaper(board, Late())._tick()
    assert dead(board) == set()
    with transaction() as connection:
        assert runs.lost(connection) == []
