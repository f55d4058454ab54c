"""Replay of all letters that fit: batches, several operators, canary, rate, and when it stops."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from dramatiq.errors import ConnectionClosed

from callboard import Backoff, current_run, job, transaction
from callboard.filters import parse
from callboard.job import Job
from callboard.ledger.database import get_engine
from callboard.ledger.dead_letters import by_issue, take
from callboard.operations import Who
from callboard.operations.letters import ReplayEvent, discard, plan, replay, replay_many
from scheduler.reconciler import Reconciler
from tests.board import Board
from tests.integration.engine.letters import bury
from tests.support import eventually

ANNA, BERT = Who("cli:anna"), Who("cli:bert")
ALL = parse("", "dead_letters")
broken = threading.Event()


@pytest.fixture(autouse=True)
def _mended() -> None:
    broken.clear()


def declare(**options: object) -> Job[..., None]:
    """A job that fails while `broken` is set."""

    @job("fragile", retry=Backoff(max_retries=1, base=0.01, cap=0.01), **options)
    def fragile(number: int, place: str = "") -> None:
        current_run().note(number=number, place=place)
        if broken.is_set():
            raise ValueError("out of paper")

    return fragile


def many(count: int) -> list[tuple[object, ...]]:
    return [(number,) for number in range(count)]


def results(events: list[ReplayEvent]) -> Counter[str]:
    return Counter(event.result for event in events)


def run_all(board: Board, count: int) -> None:
    """Let a worker run the replays, and see that each letter had one."""
    ended = "select count(*) from board.runs where trigger like 'replay:%' and state in ('completed', 'failed')"
    with board.worker(threads=4):
        eventually(lambda: board.one(ended) == count, 20)
    triggers = board.query("select trigger, count(*) from board.runs where trigger like 'replay:%' group by 1")
    assert len(triggers) == count
    assert {row.count for row in triggers} == {1}


def test_all_letters_are_replayed_in_batches_with_one_row_of_the_audit_each(board: Board) -> None:
    letters = bury(declare(), many(1100))
    events = list(replay_many(ALL, who=ANNA, why="paper came"))
    assert [event.letter_id for event in events] == letters
    assert results(events) == {"replayed": 1100}
    runs = {str(row.replay_run_id) for row in board.query("select replay_run_id from board.dead_letters")}
    assert runs == {event.detail for event in events}
    details = [row.detail for row in board.query("select detail from board.audit where why = 'paper came' order by id")]
    assert [(detail["replayed"], detail["first"]) for detail in details] == [
        (500, letters[0]),
        (500, letters[500]),
        (100, letters[1000]),
    ]
    assert board.one("select count(*) from board.runs where enqueued_at is null") == 0
    assert board.one("select distinct settled_why from board.dead_letters") == "paper came"
    run_all(board, 1100)


def test_three_operators_at_once_replay_each_letter_once(board: Board) -> None:
    letters = bury(declare(), many(1200))
    with ThreadPoolExecutor(3) as pool:
        names = [Who(f"cli:{number}") for number in range(3)]
        told = list(pool.map(lambda who: list(replay_many(ALL, who=who)), names))
    assert sorted(event.letter_id for events in told for event in events) == letters
    assert board.one("select count(*) from board.dead_letters where state = 'replayed'") == 1200
    run_all(board, 1200)


def test_what_somebody_else_holds_is_waited_for_at_the_end(board: Board) -> None:
    letters = bury(declare(), many(4))
    with transaction() as connection:
        take(connection, ALL, after=0, upto=letters[1], limit=2)
        with ThreadPoolExecutor(1) as pool:
            replaying = pool.submit(lambda: list(replay_many(ALL, who=ANNA)))
            open_ = "select count(*) from board.dead_letters where state = 'open'"
            eventually(lambda: board.one(open_) == 2)
            waits = (
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
            eventually(lambda: board.one(waits) == 1)
            connection.rollback()  # the operator was killed
            assert [event.letter_id for event in replaying.result(10)] == [*letters[2:], *letters[:2]]


def test_letters_that_die_while_it_runs_are_not_meant(board: Board) -> None:
    fragile = declare()
    letters = bury(fragile, many(3))
    events = replay_many(ALL, who=ANNA, rate=1000)
    first = next(events)
    bury(fragile, many(2))
    assert [event.letter_id for event in (first, *events)] == letters
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 2


def test_what_is_not_sent_after_the_commit_the_reconciler_sends(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    bury(declare(), many(3))

    def away(*_: object, **__: object) -> None:
        raise ConnectionClosed(ConnectionError("away"))

    events: list[ReplayEvent] = []
    with monkeypatch.context() as patch:
        patch.setattr(board.broker, "enqueue_many", away)
        with pytest.raises(ConnectionClosed):
            events.extend(replay_many(ALL, who=ANNA))
    assert board.one("select count(*) from board.dead_letters where state = 'replayed'") == 3
    assert board.one("select count(*) from board.runs where enqueued_at is null and payload is not null") == 3
    board.execute(
        "update board.runs set created_at = created_at - interval '1 h', eligible_at = now() - interval '1 h'"
    )
    Reconciler(get_engine(), board.broker, board.settings, lambda: True)._tick()
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 3)


def test_single_jobs_get_their_claims_and_duplicates_stay_open(board: Board) -> None:
    fragile = declare(single_per="place")
    letters = bury(fragile, [(1, "a"), (2, "b"), (3, "a"), (4, "c")])
    running = replay(letters[3], who=BERT)
    letters += bury(fragile, [(5, "c")])
    looked = plan(ALL)
    assert (looked.count, looked.single_conflicts) == (4, {"fragile": 2})
    events = list(replay_many(ALL, who=ANNA))
    assert [(event.letter_id, event.result) for event in events] == [
        (letters[0], "replayed"),
        (letters[1], "replayed"),
        (letters[2], "refused"),
        (letters[4], "refused"),
    ]
    assert f"already has run {events[0].detail} pending or running for scope 'a'" in events[2].detail
    assert str(running.id) in events[3].detail
    assert board.one("select count(*) from board.claims") == 3
    run_all(board, 3)
    assert results(list(replay_many(ALL, who=ANNA))) == {"replayed": 2}


def test_what_cannot_be_replayed_is_told_once_and_the_rest_goes_on(board: Board) -> None:
    fragile = declare()
    letters = bury(fragile, many(4))
    board.execute("update board.dead_letters set payload = 'no json'::bytea where id = :id", id=letters[0])
    foreign = "convert_to(replace(convert_from(payload, 'utf8'), 'fragile', 'foreign'), 'utf8')"
    board.execute(f"update board.dead_letters set job = 'foreign', payload = {foreign} where id = :id", id=letters[2])
    looked = plan(ALL)
    assert (looked.by_job, looked.unknown_jobs) == ({"fragile": 3, "foreign": 1}, {"foreign": 1})
    events = list(replay_many(ALL, who=ANNA))
    assert [event.result for event in events] == ["refused", "replayed", "refused", "replayed"]
    assert "holds no message" in events[0].detail
    assert "add its module to CALLBOARD_ACTORS" in events[2].detail
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 2


def test_a_plan_counts_and_changes_nothing(board: Board) -> None:
    assert plan(ALL).oldest is None
    fragile = declare()
    bury(fragile, many(3))
    bury(fragile, many(2), error="no ink")
    looked = plan(ALL)
    assert (looked.count, looked.by_job) == (5, {"fragile": 5})
    assert [(share.title, share.status, share.count) for share in looked.by_issue] == [
        ("ValueError: out of paper", "open", 3),
        ("ValueError: no ink", "open", 2),
    ]
    with transaction() as connection:
        assert [one["count"] for one in by_issue(connection, ALL, most=1)] == [3]
    assert looked.oldest is not None
    assert looked.newest is not None
    assert looked.oldest < looked.newest
    assert (looked.unknown_jobs, looked.single_conflicts) == ({}, {})
    assert plan(parse("error:ink", "dead_letters")).count == 2
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 5


def test_it_stops_when_a_replay_fails_as_its_letter_did(board: Board) -> None:
    letters = bury(declare(), many(20))
    broken.set()
    events = []
    with board.worker():
        for event in replay_many(ALL, who=ANNA, rate=50):
            events.append(event)
            eventually(lambda: board.one("select count(*) from board.failures") > 20)
    last = events[-1]
    assert (last.result, last.left) == ("same_failure", 20 - len(events) + 1)
    assert last.left is not None
    assert last.left > 0
    replayed = dict(zip(letters, (UUID(each.detail) for each in events[:-1]), strict=False))
    assert last.letter_id is not None
    assert replayed[last.letter_id] == last.run_id
    assert last.issue_id == board.one("select id from board.issues")
    assert "failed as before, with issue" in last.detail
    assert "ValueError: out of paper" in last.detail


@pytest.mark.parametrize("keep_going", [True, False])
def test_it_goes_on_when_told_so_or_when_the_failure_is_another(board: Board, *, keep_going: bool) -> None:
    bury(declare(), many(4), error="out of paper" if keep_going else "no ink")
    broken.set()
    events = []
    with board.worker():
        for event in replay_many(ALL, who=ANNA, rate=50, stop_on_same=not keep_going):
            events.append(event)
            eventually(lambda: board.one("select count(*) from board.failures") > 4)
    assert results(events) == {"replayed": 4}


@pytest.mark.usefixtures("board")
def test_a_bulk_replay_goes_on_after_a_letter_that_was_settled_meanwhile() -> None:
    letters = bury(declare(), many(3))
    events = replay_many(ALL, who=ANNA, rate=9)
    first = next(events)
    discard(letters[1], who=BERT)
    assert [event.letter_id for event in (first, *events)] == [letters[0], letters[2]]


@pytest.mark.usefixtures("board")
def test_a_limit_and_a_word_to_stop_leave_the_rest() -> None:
    letters = bury(declare(), many(10))
    assert [event.letter_id for event in replay_many(ALL, who=ANNA, limit=3)] == letters[:3]
    stop = threading.Event()
    events = []
    for event in replay_many(ALL, who=ANNA, rate=0.1, stop=stop.is_set):
        events.append(event)
        stop.set()
    assert [(event.result, event.left) for event in events] == [("replayed", None), ("stopped", 6)]


@pytest.mark.parametrize("healed", [True, False])
def test_a_canary_decides_about_the_rest(board: Board, *, healed: bool) -> None:
    bury(declare(), many(3))
    if not healed:
        broken.set()
    with board.worker():
        events = list(replay_many(ALL, who=ANNA, canary=True))
    told = [event.result for event in events]
    assert told == (["replayed", "canary_ok", "replayed", "replayed"] if healed else ["replayed", "canary_failed"])
    if not healed:
        assert (events[-1].left, "out of paper" in events[-1].detail) == (2, True)


def test_a_canary_that_is_refused_or_stopped_spares_the_rest(board: Board) -> None:
    bury(declare(), many(3))
    stopped = list(replay_many(ALL, who=ANNA, canary=True, stop=lambda: True))
    assert [event.result for event in stopped] == ["replayed", "stopped"]
    board.broker.actors.clear()
    refused = list(replay_many(ALL, who=ANNA, canary=True))
    assert [event.result for event in refused] == ["refused", "canary_failed"]
    assert refused[-1].left == 2


def test_nothing_to_replay_says_nothing(board: Board) -> None:
    declare()
    assert list(replay_many(ALL, who=ANNA, canary=True)) == []
    assert list(replay_many(ALL, who=ANNA)) == []
    assert board.one("select count(*) from board.audit") == 0
