"""What a run waits for, told by the ledger and the broker, and that neither attempts nor backoff count as waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from dramatiq.middleware import Shutdown
from sqlalchemy import event

from callboard import Backoff, current_run, job
from callboard.envelope import ready_since
from callboard.ledger import listing, runs
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.facts import Refused, Started
from callboard.surroundings import facts_about
from callboard.waiting import reasons, times
from tests.integration.engine.recorder_kit import ending, facts, recorder
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from callboard.ledger.facts import RunFacts
    from tests.board import Board


def row_of(run_id: object) -> dict[str, Any]:
    with transaction() as connection:
        return dict(listing.run(connection, str(run_id)))


def why(run_id: object) -> list[tuple[str, str]]:
    """Kinds and words of what the run waits for, now."""
    with transaction() as connection:
        found = facts_about(connection, listing.run(connection, str(run_id)), now=datetime.now(UTC), name="it")
    return [(one.kind, one.text) for one in reasons(found)]


def register(board: Board, **given: object) -> None:
    """A worker that takes the queue `default`, and does nothing."""
    recorder(board)
    for name, value in given.items():
        board.execute(f"update board.workers set {name} = :value", value=value)


# The row's own reason


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"concurrency": 1}, "limit: concurrency 1"), ({"rate": (1, 3600.0)}, "limit: rate 1 in 3600 s")],
)
@pytest.mark.parametrize("durable", [False, True])
def test_a_run_over_its_limit_says_so_in_its_row_until_it_starts(
    *, board: Board, limits: dict[str, Any], reason: str, durable: bool
) -> None:
    own, first, second = recorder(board), facts(**limits), facts(durable=durable, args={"a": 1}, **limits)
    started = own.start(first)
    assert isinstance(started, Started)
    refused = own.start(second)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.detail) == ("limit", reason)
    row = row_of(second.id)
    assert (row["state"], row["reason"], row["attempt"], row["crashes"]) == ("pending", reason, 0, 0)
    assert (row["args"], row["delivery"]) == ({"a": 1}, second.delivery)
    assert board.one("select payload from board.runs where id = :id", id=second.id) == (b"body" if durable else None)
    own.finish_many([ending(first, started)])
    board.execute("delete from board.rates")
    again = own.start(second)
    assert isinstance(again, Started)
    assert again.attempt == 1
    assert (row_of(second.id)["state"], row_of(second.id)["reason"]) == ("running", None)


def test_a_reason_that_is_known_is_not_written_again(board: Board) -> None:
    own, first, second = recorder(board), facts(concurrency=1), facts(concurrency=1)
    own.start(first)
    own.start(second)
    before = board.one("select xmin::text || ctid::text from board.runs where id = :id", id=second.id)
    for _ in range(3):
        assert own.start(second) == Refused("limit", delay=0.5, detail="limit: concurrency 1")
    assert board.one("select xmin::text || ctid::text from board.runs where id = :id", id=second.id) == before


def test_a_cancelled_run_that_is_over_its_limit_stays_cancelled(board: Board) -> None:
    own, first, second = recorder(board), facts(concurrency=1), facts(concurrency=1)
    started = own.start(first)
    own.start(second)
    board.execute("update board.runs set state = 'cancelled', finished_at = now() where id = :id", id=second.id)
    own.start(second)
    assert (row_of(second.id)["state"], row_of(second.id)["reason"]) == ("cancelled", "limit: concurrency 1")
    assert isinstance(started, Started)
    own.finish_many([ending(first, started)])
    assert own.start(second) == Refused("ended", detail="cancelled")


@pytest.fixture
def statements(board: Board) -> Iterator[list[str]]:  # noqa: ARG001 - its engine
    """What SQLAlchemy sends to the ledger."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    event.listen(get_engine(), "before_cursor_execute", note)
    yield found
    event.remove(get_engine(), "before_cursor_execute", note)


def test_a_run_that_starts_costs_no_statement_more(board: Board, statements: list[str]) -> None:
    own = recorder(board)
    statements.clear()
    assert isinstance(own.start(facts(durable=True)), Started)
    assert statements == [], "its one statement goes by the driver's cursor"
    assert isinstance(own.start(facts("other", concurrency=1)), Started)
    assert len(statements) == 2, "the lock and the count"


# Why it does not run


def test_a_run_waits_for_a_worker_then_for_its_turn(board: Board) -> None:
    @job("plain", durable=True)
    def plain() -> None: ...

    first, second = plain.send(), plain.send()
    assert why(second.message_id) == [("no_worker", "no worker takes queue default")]
    register(board, threads=8, busy=8)
    words = "queued behind up to 1 others; 8 of 8 threads that take default are busy"
    assert why(second.message_id) == [("queued", words)]
    assert why(first.message_id) == [("queued", words)]
    board.broker.pause("default")
    assert why(first.message_id) == [("paused", "queue default is paused")]


def test_a_run_that_is_sent_for_later_says_when(board: Board) -> None:
    @job("later", durable=True)
    def later() -> None: ...

    register(board)
    message = later.send_with_options(delay=3_600_000)
    ((kind, words),) = why(message.message_id)
    assert (kind, words) == ("scheduled", "scheduled for later: in 60 min")
    assert times(row_of(message.message_id), datetime.now(UTC)).wait == 0


def test_a_message_that_the_broker_lost_is_told(board: Board) -> None:
    @job("kept", durable=True)
    def kept() -> None: ...

    register(board)
    message = kept.send()
    delivery = row_of(message.message_id)["delivery"]
    assert board.broker.drop("default", delivery)
    assert why(message.message_id) == [
        ("lost", "its message is not in the broker, lost or not sent yet; the scheduler sends it")
    ]


def limited(own: Any, first: RunFacts, second: RunFacts) -> None:  # noqa: ANN401 - a Recorder
    assert isinstance(own.start(first), Started)
    assert isinstance(own.start(second), Refused)


def test_limits_are_told_with_their_numbers(board: Board) -> None:
    @job("narrow", concurrency=1)
    def narrow() -> None: ...

    @job("rated", rate="1/h")
    def rated() -> None: ...

    own = recorder(board)
    second = facts("narrow", concurrency=1, delivery="")
    limited(own, facts("narrow", concurrency=1), second)
    assert why(second.id) == [("limit", "over a limit: 1 of 1 allowed runs of narrow are running")]
    second = facts("rated", rate=(1, 3600.0), delivery="")
    limited(own, facts("rated", rate=(1, 3600.0)), second)
    assert why(second.id) == [("limit", "over a limit: 1 starts in 3600 s, the next one in 60 min")]


def test_a_bound_on_the_queue_is_told(board: Board) -> None:
    @job("bounded", durable=True)
    def bounded() -> None: ...

    register(board)
    board.broker.set_limits({"default": 0})
    message = bounded.send()
    assert why(message.message_id) == [
        ("limit", "over a limit: workers hold 0 of 0 allowed messages of default"),
    ]


def test_the_holder_of_the_only_place_is_named(board: Board) -> None:
    @job("alone", durable=True, single=True)
    def alone() -> None: ...

    register(board)
    holder, other = alone.send(), facts("alone", durable=True, delivery="")
    with transaction() as connection:
        runs.insert_pending(connection, other)
    ((kind, words),) = why(other.id)
    assert kind == "overlap"
    assert holder.message_id in words


def test_a_run_whose_worker_is_silent_is_told(board: Board) -> None:
    own, silent = recorder(board), recorder(board, lease=-30.0)
    run, lost = facts(durable=True), facts(durable=True)
    own.start(run)
    silent.start(lost)
    assert why(run.id) == []
    ((kind, words),) = why(lost.id)
    assert kind == "silent_worker"
    assert "has been over for 30 s" in words


def test_without_the_broker_the_ledgers_half_is_told(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    @job("away", durable=True)
    def away() -> None: ...

    message = away.send()

    def refuse(*_: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(type(board.broker), "depths", refuse)
    assert why(message.message_id) == [("no_worker", "no worker takes queue default")]
    register(board)
    assert [kind for kind, _ in why(message.message_id)] == ["unknown"]


# Time is told apart


def envelopes(board: Board) -> Sequence[bytes]:
    return [one.body for one in board.broker.delayed("default")]


def test_neither_the_attempt_nor_the_pause_before_a_retry_is_waiting(board: Board) -> None:
    @job("again", retry=Backoff(max_retries=1, base=0.5, cap=0.5))
    def again() -> None:
        time.sleep(0.05)
        if current_run().attempt == 1:
            raise OSError("first")

    with board.worker():
        sent = time.time()
        message = again.send()
        body = eventually(lambda: envelopes(board), what="the message of the retry")[0]
        assert ready_since(body, 0.0) > sent + 0.25, "the queue's oldest message does not age while it backs off"
        ((kind, words),) = why(message.message_id)
        assert kind == "retry"
        assert words.endswith("after OSError: first")
        eventually(lambda: row_of(message.message_id)["state"] == "completed")
    row = row_of(message.message_id)
    told = times(row, datetime.now(UTC))
    assert told.wait is not None
    assert told.run is not None
    assert told.wait < told.end_to_end - 0.25 - told.run
    assert 0.05 <= told.run < told.end_to_end


def test_a_run_that_its_worker_gave_back_waits_from_then_on(board: Board) -> None:
    @job("given_back", durable=True)
    def given_back() -> None:
        time.sleep(0.5)
        board.broker.pause("default")  # else it starts again at once
        raise Shutdown

    message = given_back.send()
    with board.worker():
        eventually(lambda: row_of(message.message_id)["reason"] == "interrupted")
        depth = eventually(lambda: [one for one in board.broker.depths(["default"]).values() if one.ready])[0]
        assert depth.oldest_ready_seconds < 0.4
    assert (times(row_of(message.message_id), datetime.now(UTC)).wait or 1.0) < 0.4
