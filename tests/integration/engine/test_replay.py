"""Replay: each dead letter at most once, whoever asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from callboard import CallboardError, DuplicateRun, NoRetry, NotFound, ReplayRefused, current_run, job, transaction
from callboard.ledger import dead_letters
from callboard.ledger.dead_letters import Filter
from callboard.replay import discard, replay, replay_many
from tests.board import Board
from tests.support import eventually

broken = threading.Event()


def bury(board: Board, count: int, **options: object) -> list[int]:
    """Dead letters of a job that fails while `broken` is set."""
    broken.set()

    @job("fragile", retry=NoRetry(), **options)
    def fragile(number: int) -> None:
        current_run().count(ran=1)
        if broken.is_set():
            raise ValueError(f"number {number}")

    with board.worker():
        for number in range(count):
            fragile.send(number)
            eventually(lambda expected=number + 1: board.one("select count(*) from board.dead_letters") == expected)
    broken.clear()
    return [row.id for row in board.query("select id from board.dead_letters order by id")]


def test_a_replay_is_a_new_run_with_the_same_payload_and_correlation_id(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    with board.worker():
        facts = replay(letter_id, by="anna")
        eventually(lambda: board.one("select state from board.runs where id = :id", id=facts.id) == "completed")
    old, new = board.query("select id, correlation_id, args, trigger, parent_id from board.runs order by created_at")
    assert (new.correlation_id, new.args, new.trigger) == (old.correlation_id, old.args, f"replay:{letter_id}")
    assert new.parent_id == old.id
    (letter,) = board.query("select state, settled_by, replay_run_id from board.dead_letters")
    assert letter == ("replayed", "anna", facts.id)


def test_a_second_replay_is_refused_and_told_who_did_it(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    facts = replay(letter_id, by="anna")
    with pytest.raises(ReplayRefused, match=rf"was replayed at .* by anna as run {facts.id}"):
        replay(letter_id, by="bert")
    with pytest.raises(ReplayRefused, match="was replayed"):
        discard(letter_id, by="bert")


def test_ten_operators_at_once_replay_a_letter_once(board: Board) -> None:
    (letter_id,) = bury(board, 1)

    def attempt(number: int) -> bool:
        try:
            replay(letter_id, by=f"operator {number}")
        except ReplayRefused:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(attempt, range(10))) == 1
    assert board.one("select count(*) from board.runs where trigger like 'replay:%'") == 1


def test_a_discarded_letter_keeps_its_row(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    discard(letter_id, by="anna")
    assert board.query("select state, settled_by from board.dead_letters") == [("discarded", "anna")]
    with pytest.raises(ReplayRefused, match="was discarded"):
        replay(letter_id, by="bert")
    with pytest.raises(NotFound, match="No dead letter has the id 4711"):
        discard(4711, by="bert")


def test_a_letter_whose_job_is_not_loaded_stays_open(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    board.broker.actors.clear()
    with pytest.raises(NotFound, match="add its module to CALLBOARD_ACTORS"):
        replay(letter_id, by="anna")
    assert board.one("select state from board.dead_letters") == "open"


def test_a_replay_respects_overlap_and_leaves_the_letter_open(board: Board) -> None:
    first, second = bury(board, 2, single=True)
    replay(first, by="anna")
    with pytest.raises(DuplicateRun):
        replay(second, by="anna")
    assert board.one("select state from board.dead_letters where id = :id", id=second) == "open"


def test_many_are_found_by_what_is_known_of_them(board: Board) -> None:
    letters = bury(board, 3)
    board.execute("update board.dead_letters set created_at = now() - interval '2 h' where id = :id", id=letters[0])

    def found(**given: object) -> list[int]:
        with transaction() as connection:
            return dead_letters.ids(connection, Filter(**given))  # type: ignore[arg-type]  # the filter's own fields

    assert found() == letters
    assert found(ids=(letters[1], 4711)) == [letters[1]]
    assert found(job="fragile", kind="runtime", error="valueerror: number 2") == [letters[2]]
    assert found(error="100%") == []
    assert found(older_than=timedelta(hours=1)) == [letters[0]]
    assert found(newer_than=timedelta(hours=1)) == letters[1:]
    assert found(state="replayed") == []
    with transaction() as connection:
        (newest,) = dead_letters.listing(connection, Filter(), limit=1)
    assert newest["id"] == letters[2]
    assert "payload" not in newest


def test_a_bulk_replay_keeps_its_rate_and_goes_on_after_a_refusal(board: Board) -> None:
    letters = bury(board, 3)
    slept: list[float] = []
    events = replay_many(Filter(), by="anna", rate=10, sleep=slept.append)
    first = next(events)
    discard(letters[1], by="bert")
    rest = list(events)
    assert [event.result for event in (first, *rest)] == ["replayed", "refused", "replayed"]
    assert slept == [0.1, 0.1, 0.1]


@pytest.mark.parametrize("healed", [True, False])
def test_a_canary_decides_about_the_rest(board: Board, *, healed: bool) -> None:
    bury(board, 3)
    if not healed:
        broken.set()
    with board.worker():
        events = list(replay_many(Filter(), by="anna", canary=True))
    results = [event.result for event in events]
    assert results == (["replayed", "canary_ok", "replayed", "replayed"] if healed else ["replayed", "canary_failed"])


def test_a_canary_that_is_refused_stops_the_rest(board: Board) -> None:
    bury(board, 2)
    board.broker.actors.clear()
    events = list(replay_many(Filter(), by="anna", canary=True))
    assert [event.result for event in events] == ["refused", "canary_failed"]
    assert issubclass(ReplayRefused, CallboardError)
