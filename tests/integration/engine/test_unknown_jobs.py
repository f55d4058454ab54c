"""Messages of jobs that a worker does not know: while code is rolled out, they wait for a worker that does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from dramatiq import Message

from callboard import job, transaction
from callboard.cancel import cancel
from callboard.envelope import KEY, delay_again
from callboard.ledger import listing
from callboard.middleware import dead_letter
from callboard.surroundings import facts_about
from callboard.waiting import reasons
from tests.board import open_board
from tests.support import eventually

if TYPE_CHECKING:
    from tests.board import Board
    from tests.rabbitmq import RabbitServer


def stranger() -> Message[None]:
    return Message("default", "stranger", (1,), {}, {})


def waits(board: Board) -> None:
    eventually(lambda: board.query("select 1 from board.runs where reason = 'unknown job'") or None)


def is_done_by_who_knows_it(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter, "_FIRST_SECONDS", 0.5)
    calls: list[int] = []
    board.broker.declare_queue("default")
    with board.worker():
        message = board.broker.enqueue(stranger())
        waits(board)

        @job("stranger")
        def known(number: int) -> None:
            calls.append(number)

        eventually(lambda: board.query("select 1 from board.runs where state = 'completed'") or None)
    assert calls == [1]
    (run,) = board.query("select id, attempt, crashes, reason, history from board.runs")
    assert (str(run.id), run.attempt, run.crashes, run.reason) == (message.message_id, 1, 0, None)
    assert not run.history
    assert board.one("select count(*) from board.dead_letters") == 0


def test_it_is_done_once_a_worker_knows_it(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    is_done_by_who_knows_it(board, monkeypatch)


def test_it_is_done_over_the_memory_transport_too(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    with open_board(monkeypatch, postgres_url, "memory://") as board:
        is_done_by_who_knows_it(board, monkeypatch)


def test_it_is_done_over_rabbitmq_too(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, rabbitmq: RabbitServer
) -> None:
    with open_board(monkeypatch, postgres_url, rabbitmq.url) as board:
        is_done_by_who_knows_it(board, monkeypatch)


def test_it_says_what_it_waits_for_and_can_be_cancelled(board: Board) -> None:
    board.broker.declare_queue("default")
    with board.worker():
        message = board.broker.enqueue(stranger())
        waits(board)
        with transaction() as connection:
            row = listing.run(connection, message.message_id)
            first = reasons(facts_about(connection, row, now=datetime.now(UTC), name="it"))[0]
    assert first.kind == "unknown_job"
    assert first.text == "the worker that took it does not know job stranger; it waits for one that does"
    assert cancel(UUID(message.message_id), by="me") == "cancelled"


def test_it_is_a_dead_letter_when_its_grace_is_over(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str
) -> None:
    with open_board(monkeypatch, postgres_url, broker_url, unknown_job_grace_seconds=0.5) as board:
        board.broker.declare_queue("default")
        with board.worker():
            board.broker.enqueue(stranger())
            waits(board)
            (letter,) = eventually(lambda: board.query("select * from board.dead_letters"))
        assert (letter.job, letter.reason) == ("stranger", "unknown actor")
        assert board.query("select state from board.runs") == [("failed",)]


def test_the_pauses_grow_and_end_with_the_grace(board: Board) -> None:
    assert board.settings.unknown_job_grace_seconds == 600
    message, now, pauses = stranger(), 1_000_000.0, []
    while pause := dead_letter._pause(message, now):
        pauses.append(pause)
        now += pause
    assert pauses[:5] == [10, 10, 20, 30, 30]
    assert sum(pauses) == 600
    delay_again(message.options, 5)
    assert dead_letter._pause(message, now) == 10, "a worker knew it meanwhile"


def test_a_clock_that_is_set_back_makes_no_endless_grace(board: Board) -> None:
    assert board.broker is not None
    message = stranger()
    assert dead_letter._pause(message, 1_000_000.0) == 10
    assert dead_letter._pause(message, 1_000_000.0 - 3600) == 10
    assert message.options[KEY]["unknown_since"] == 1_000_000.0 - 3600
    assert dead_letter._pause(message, 1_000_000.0 - 3000) == 0
