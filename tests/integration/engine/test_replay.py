"""Replay of one letter: at most once, whoever asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from callboard import ArgumentsError, DuplicateRun, NoRetry, NotFound, ReplayRefused, current_run, job, transaction
from callboard.filters import parse
from callboard.ledger import dead_letters
from callboard.operations import Who
from callboard.operations.letters import discard, discard_many, replay
from tests.board import Board
from tests.support import eventually

ANNA, BERT = Who("cli:anna"), Who("manual:user:bert", ip="192.0.2.7")
broken = threading.Event()


def bury(board: Board, count: int, **options: object) -> list[int]:
    """Dead letters of a job that fails while `broken` is set."""
    broken.set()

    @job("fragile", retry=NoRetry(), **options)
    def fragile(number: int, /, api_key: str = "", *, note: str = "") -> None:
        current_run().note(number=number, note=note, has_key=bool(api_key))
        if broken.is_set():
            raise ValueError(f"number {number}")

    with board.worker():
        for number in range(count):
            fragile.send(number)
            eventually(lambda expected=number + 1: board.one("select count(*) from board.dead_letters") == expected)
    broken.clear()
    return [row.id for row in board.query("select id from board.dead_letters order by id")]


def completed(board: Board, run_id: object) -> None:
    eventually(lambda: board.one("select state from board.runs where id = :id", id=run_id) == "completed")


def test_a_replay_is_a_new_run_with_the_same_payload_and_correlation_id(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    with board.worker():
        facts = replay(letter_id, who=ANNA, why="fixed in 4f2")
        completed(board, facts.id)
    old, new = board.query("select id, correlation_id, args, trigger, parent_id from board.runs order by created_at")
    assert (new.correlation_id, new.args, new.trigger) == (old.correlation_id, old.args, f"replay:{letter_id}")
    assert new.parent_id == old.id
    (letter,) = board.query("select state, settled_by, settled_why, replay_run_id, replay_args from board.dead_letters")
    assert letter == ("replayed", "cli:anna", "fixed in 4f2", facts.id, None)
    (row,) = board.query("select who, action, resource_type, resource_id, why, detail from board.audit")
    assert row[:5] == ("cli:anna", "dead_letter.replay", "dead_letter", str(letter_id), "fixed in 4f2")
    assert row.detail == {"run_id": str(facts.id)}


def test_a_second_replay_is_refused_and_told_who_did_it_and_why(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    facts = replay(letter_id, who=ANNA, why="fixed")
    with pytest.raises(ReplayRefused, match=rf"was replayed at .* by cli:anna as run {facts.id} \(fixed\)"):
        replay(letter_id, who=BERT)
    with pytest.raises(ReplayRefused, match="was replayed"):
        discard(letter_id, who=BERT)
    assert board.one("select count(*) from board.audit") == 1


def test_ten_operators_at_once_replay_a_letter_once(board: Board) -> None:
    (letter_id,) = bury(board, 1)

    def attempt(number: int) -> bool:
        try:
            replay(letter_id, who=Who(f"operator {number}"))
        except ReplayRefused:
            return False
        return True

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(attempt, range(10))) == 1
    assert board.one("select count(*) from board.runs where trigger like 'replay:%'") == 1


def test_a_discarded_letter_keeps_its_row(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    discard(letter_id, who=BERT, why="a test order")
    story = board.query("select state, settled_by, settled_why from board.dead_letters")
    assert story == [("discarded", "manual:user:bert", "a test order")]
    audited = board.query("select who, action, resource_id, why, ip from board.audit")
    assert audited == [("manual:user:bert", "dead_letter.discard", str(letter_id), "a test order", "192.0.2.7")]
    with pytest.raises(ReplayRefused, match="was discarded"):
        replay(letter_id, who=ANNA)
    with pytest.raises(NotFound, match="No dead letter has the id 4711"):
        discard(4711, who=ANNA)


def test_many_are_discarded_by_one_statement_and_one_row_of_the_audit(board: Board) -> None:
    letters = bury(board, 3)
    replay(letters[0], who=ANNA)
    assert discard_many(parse("state:*", "dead_letters"), who=ANNA, why="yesterday's news") == 2
    states = [row.state for row in board.query("select state from board.dead_letters order by id")]
    assert states == ["replayed", "discarded", "discarded"]
    rows = board.query("select why, detail from board.audit where action = 'dead_letter.discard'")
    assert rows == [("yesterday's news", {"discarded": 2})]
    assert discard_many(parse("", "dead_letters"), who=ANNA) == 0


def test_a_letter_whose_job_is_not_loaded_stays_open(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    board.broker.actors.clear()
    with pytest.raises(NotFound, match="add its module to CALLBOARD_ACTORS"):
        replay(letter_id, who=ANNA)
    assert board.one("select state from board.dead_letters") == "open"
    assert board.one("select count(*) from board.audit") == 0


def test_a_letter_that_holds_no_message_stays_open(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    board.execute("update board.dead_letters set payload = 'no json'::bytea")
    with pytest.raises(ReplayRefused, match="holds no message"):
        replay(letter_id, who=ANNA)
    assert board.one("select state from board.dead_letters") == "open"


def test_a_replay_goes_to_the_queue_that_its_job_has_now(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    moved = """convert_to(replace(convert_from(payload, 'utf8'), '"default"', '"abandoned"'), 'utf8')"""
    board.execute(f"update board.dead_letters set queue = 'abandoned', payload = {moved}")
    with board.worker():
        completed(board, replay(letter_id, who=ANNA).id)


def test_a_replay_respects_overlap_and_leaves_the_letter_open(board: Board) -> None:
    first, second = bury(board, 2, single=True)
    replay(first, who=ANNA)
    with pytest.raises(DuplicateRun):
        replay(second, who=ANNA)
    assert board.one("select state from board.dead_letters where id = :id", id=second) == "open"


def test_arguments_are_changed_by_name_and_what_they_were_stays(board: Board) -> None:
    (letter_id,) = bury(board, 1)
    before = board.one("select payload from board.dead_letters")
    with board.worker():
        facts = replay(letter_id, who=ANNA, args={"api_key": "planted-secret", "note": "by hand"})
        completed(board, facts.id)
    (run,) = board.query("select args, notes from board.runs where id = :id", id=facts.id)
    assert run.args["number"] == 0
    assert run.args["note"] == run.notes["note"] == "by hand"
    assert run.notes["has_key"]
    (letter,) = board.query("select payload, args, replay_args from board.dead_letters")
    assert (letter.payload, letter.args) == (before, {"number": 0})
    assert letter.replay_args["note"] == "by hand"
    detail = board.one("select detail from board.audit")
    assert detail["args"] == letter.replay_args
    assert "planted-secret" not in f"{run} {letter.replay_args} {detail}"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"nmber": 5}, "takes no argument 'nmber'; did you mean 'number'"),
        ({"x": 1}, r"takes no argument 'x'; it takes fragile\(number"),
        ({"note": object()}, "which JSON cannot hold"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_the_letter_stays_open(
    board: Board, args: dict[str, Any], words: str
) -> None:
    (letter_id,) = bury(board, 1)
    with pytest.raises(ArgumentsError, match=words):
        replay(letter_id, who=ANNA, args=args)
    assert board.one("select state from board.dead_letters") == "open"
    assert board.one("select count(*) from board.runs") == 1


def test_a_listing_is_newest_first_and_never_shows_the_payload(board: Board) -> None:
    letters = bury(board, 2)
    with transaction() as connection:
        listed = dead_letters.listing(connection, parse("job:frag*", "dead_letters"), limit=1)
        assert dead_letters.ids(connection, parse("error:number", "dead_letters")) == letters
        assert dead_letters.count_open(connection, most=1) == 1
    assert [row["id"] for row in listed] == letters[1:]
    assert "payload" not in listed[0]


def test_a_letter_knows_what_it_came_of_and_what_came_of_it(board: Board) -> None:
    (first,) = bury(board, 1)
    broken.set()
    with board.worker():
        replay(first, who=ANNA)
        eventually(lambda: board.one("select count(*) from board.dead_letters") == 2)
        second = board.one("select max(id) from board.dead_letters")
        replay(second, who=BERT)
        eventually(lambda: board.one("select count(*) from board.dead_letters") == 3)
    broken.clear()
    third = board.one("select max(id) from board.dead_letters")
    with board.worker():
        completed(board, replay(third, who=ANNA).id)
    with transaction() as connection:
        for asked in (first, second, third):
            chain = dead_letters.lineage(connection, asked)
            assert [(step["id"], step["replay_state"]) for step in chain] == [
                (first, "failed"),
                (second, "failed"),
                (third, "completed"),
            ]
            assert "payload" not in chain[0]
        assert [step["settled_by"] for step in chain] == ["cli:anna", "manual:user:bert", "cli:anna"]
        (attempt,) = dead_letters.history(connection, dead_letters.get(connection, second))
        assert (attempt["error"], attempt["attempt"]) == ("number 0", 1)
        assert dead_letters.lineage(connection, 4711) == []
