"""Runs that put themselves off: they come back, use up no attempt, and are no failures."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from callboard import Delays, NoRetry, Postponed, current_run, job, transaction
from callboard.cancel import cancel
from callboard.inline import run_inline
from callboard.ledger import listing
from callboard.middleware import retries
from callboard.outcome import Cancelled
from callboard.surroundings import facts_about
from callboard.waiting import reasons
from tests.board import open_board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dramatiq import Message

    from tests.board import Board
    from tests.rabbitmq import RabbitMQ


def state_of(board: Board, message: Message[object]) -> str | None:
    rows = board.query("select state from board.runs where id = :id", id=message.message_id)
    return rows[0].state if rows else None


def comes_back(board: Board) -> None:
    calls: list[int] = []

    @job("later", retry=NoRetry())
    def later() -> None:
        calls.append(current_run().attempt)
        current_run().count(tried=1)
        if len(calls) < 4:
            raise Postponed(0.1, "no free slot")

    with board.worker():
        message = later.send()
        eventually(lambda: state_of(board, message) == "completed")
    assert calls == [1, 1, 1, 1]
    (row,) = board.query("select attempt, crashes, counts, error, reason, history from board.runs")
    assert (row.attempt, row.crashes, row.counts, row.error, row.reason) == (1, 0, {"tried": 1}, None, None)
    (told,) = row.history
    assert (told["event"], told["detail"]) == ("postponed", "for 0.1 s: no free slot (3 times)")
    for table in ("failures", "issues", "dead_letters"):
        assert board.one(f"select count(*) from board.{table}") == 0, table
    totals = board.query("select outcome, attempts from board.totals order by 1")
    assert totals == [("postponed", 3), ("success", 1)]


def test_a_postponed_run_comes_back_without_using_up_an_attempt(board: Board) -> None:
    comes_back(board)


@pytest.fixture
def rabbit_board(monkeypatch: pytest.MonkeyPatch, postgres_url: str, rabbitmq: RabbitMQ) -> Iterator[Board]:
    with open_board(monkeypatch, postgres_url, rabbitmq.url) as board:
        yield board


def test_it_comes_back_over_rabbitmq_too(rabbit_board: Board) -> None:
    comes_back(rabbit_board)


@pytest.mark.parametrize("options", [{"durable": True}, {"single": True}])
def test_it_waits_and_says_why(board: Board, options: dict[str, bool]) -> None:
    @job("waits", **options)  # type: ignore[call-overload]  # one option or the other
    def waits() -> None:
        raise Postponed(500, "the breaker of 'siem:x' is open")

    with board.worker():
        message = waits.send()
        eventually(lambda: board.query("select 1 from board.runs where retry_at > now() and state = 'pending'") or None)
    with transaction() as connection:
        row = listing.run(connection, message.message_id)
        found = reasons(facts_about(connection, row, now=datetime.now(UTC), name="it"))
    assert row["reason"] == "postponed: the breaker of 'siem:x' is open"
    assert (found[0].kind, found[0].text) == (
        "postponed",
        "it put itself off: the breaker of 'siem:x' is open; again in 8 min",
    )
    claims = board.query("select extract(epoch from lease_until - now()) > 500 as long from board.claims")
    assert claims == ([(True,)] if "single" in options else [])
    assert cancel(message.message_id, by="me") is not None
    assert state_of(board, message) == "cancelled"


def test_postponing_for_ever_ends_as_a_dead_letter(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MOST_POSTPONED", 2)
    calls: list[int] = []

    @job("never", retry=Delays(0.0))
    def never() -> None:
        calls.append(1)
        raise Postponed(0, "not yet")

    with board.worker():
        message = never.send()
        eventually(lambda: state_of(board, message) == "failed")
    assert len(calls) == 3
    letter = board.query("select kind, reason, error_type, error, attempts from board.dead_letters")
    assert letter == [("transient", "postponed 2 times", "Postponed", "not yet", 1)]


def test_a_failed_attempt_before_still_counts(board: Board) -> None:
    calls: list[int] = []

    @job("mixed", retry=Delays(0.0))
    def mixed() -> None:
        calls.append(current_run().attempt)
        if len(calls) == 1:
            raise ConnectionError("away")
        if len(calls) == 2:
            raise Postponed(0, "not yet")

    with board.worker():
        message = mixed.send()
        eventually(lambda: state_of(board, message) == "completed")
    assert calls == [1, 2, 2]
    assert board.one("select count(*) from board.failures") == 1


def test_a_run_that_is_to_be_cancelled_is_not_put_off(board: Board) -> None:
    @job("stop", durable=True)
    def stop() -> None:
        cancel(str(current_run().id), by="me")
        eventually(lambda: current_run().cancel_requested or None)
        raise Postponed(600, "not yet")

    with board.worker():
        message = stop.send()
        eventually(lambda: state_of(board, message) == "cancelled")
    assert board.one("select reason from board.runs") == "cancelled while it was postponed"


def test_in_process_it_ends_as_cancelled(board: Board) -> None:
    @job("here")
    def here() -> None:
        raise Postponed(30, "no free slot")

    outcome = run_inline(here).outcome
    assert outcome == Cancelled("postponed: no free slot; a run in process is not tried again")
    assert board.query("select state from board.runs") == [("cancelled",)]
    assert board.one("select count(*) from board.dead_letters") == 0


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, 700_000])
def test_a_pause_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="must be from 0 to 604800 seconds"):
        Postponed(seconds, "why")
