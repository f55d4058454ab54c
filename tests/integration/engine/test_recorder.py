"""Attempts that are written before they run: batches of starts and ends, with claims, limits and schedules."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from callboard.ledger import claims, runs, schedules
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.facts import Refused, Report, RunFacts, Started
from callboard.outcome import Completed, Failed, Interrupted, Outcome, Retry
from tests.board import Board
from tests.integration.engine.recorder_kit import ending, facts, failure, light, recorder


def states(board: Board) -> dict[object, str]:
    return {row.id: row.state for row in board.query("select id, state from board.runs")}


def test_a_batch_of_starts_and_a_batch_of_ends(board: Board) -> None:
    own = recorder(board)
    durable = [facts(f"job{n}", durable=True, args={"n": n}) for n in range(3)]
    with transaction() as connection:
        for run in durable[:2]:  # the third lost its row: it is adopted
            runs.insert_pending(connection, run)
    answers = own.start_many(durable)
    assert [answer.attempt for answer in answers if isinstance(answer, Started)] == [1, 1, 1]
    assert board.query("select distinct state, payload from board.runs") == [("running", b"body")]
    outcomes: list[Outcome] = [Completed(), Retry(failure(), 60), Interrupted()]
    batch = [ending(run, start, how) for run, start, how in zip(durable, answers, outcomes, strict=True)]
    assert own.finish_many(batch) == [True] * 3
    rows = {
        row.job: row for row in board.query("select *, extract(epoch from now() - finished_at) as ago from board.runs")
    }
    assert [(rows[f"job{n}"].state, rows[f"job{n}"].attempt) for n in range(3)] == [
        ("completed", 1),
        ("pending", 1),
        ("pending", 0),
    ]
    assert (rows["job0"].payload, rows["job1"].payload, rows["job2"].payload) == (None, b"body", b"body")
    assert 0.5 <= float(rows["job0"].ago) < 5
    assert board.query("select job, outcome from board.totals order by 1") == [
        ("job0", "success"),
        ("job1", "retry"),
        ("job2", "shutdown"),
    ]


def test_a_batch_of_both_kinds_is_one_transaction(board: Board) -> None:
    own, run = recorder(board), facts("written")
    started = own.start(run)
    batch = [ending(facts(), light(own)), ending(run, started, Failed(failure(), "spent"))]
    board.execute("alter table board.dead_letters add constraint closed check (false) not valid")
    with pytest.raises(Exception, match="closed"):
        own.finish_many(batch)
    assert board.one("select state from board.runs where id = :id", id=run.id) == "running"
    board.execute("alter table board.dead_letters drop constraint closed")
    assert own.finish_many(batch) == [True, True]
    assert board.one("select sum(attempts) from board.totals") == 2


def test_a_later_attempt_leaves_nothing_of_the_failed_one_behind(board: Board) -> None:
    own, run = recorder(board), facts()
    started = own.start(run)
    own.finish_many([ending(run, started, Retry(failure(), 0), Report({"tried": 1}, {"a": 1}))])
    again = own.start(run)
    assert isinstance(again, Started)
    assert again.attempt == 2
    own.finish_many([ending(run, again, report=Report({"done": 1}))])
    (row,) = board.query("select * from board.runs")
    assert (row.state, row.counts, row.notes, row.error, row.error_type) == ("completed", {"done": 1}, None, None, None)
    assert board.one("select count(*) from board.failures") == 1


def test_a_lost_attempt_changes_nothing_and_is_not_counted(board: Board) -> None:
    frozen, second, run = recorder(board), recorder(board), facts()
    late = ending(run, frozen.start(run), Failed(failure(), "spent"), Report({"late": 1}))
    (row,) = board.query("select token, created_at from board.runs")
    with transaction() as connection:
        assert runs.lose(connection, run.id, row.created_at, row.token, note="[]")
    assert frozen.finish_many([late]) == [False]
    assert board.query("select state, crashes, counts from board.runs") == [("pending", 1, None)]
    assert second.finish_many([ending(run, second.start(run))]) == [True]
    assert frozen.finish_many([late]) == [False]
    assert board.query("select outcome, attempts from board.totals") == [("success", 1)]
    assert board.one("select count(*) from board.dead_letters") == 0


def test_a_run_that_a_dead_worker_failed_with_is_not_taken_for_our_own_commit(board: Board) -> None:
    frozen, run = recorder(board), facts()
    started = frozen.start(run)
    assert isinstance(started, Started)
    with transaction() as connection:
        assert runs.finish(connection, run, started.token, state="failed", report=Report()) is not None
    assert frozen.finish_many([ending(run, started)]) == [False]


@pytest.mark.parametrize("fetched", [1, 2, 7])
def test_a_start_that_no_row_tells_of_is_counted_once(board: Board, fetched: int) -> None:
    own, run = recorder(board), facts(crashes=fetched)
    started = own.start(run)
    assert isinstance(started, Started)
    assert started.attempt == 2
    (row,) = board.query("select state, crashes, history from board.runs")
    assert (row.state, row.crashes) == ("running", 1)
    assert (row.history[0]["event"], "may have begun" in row.history[0]["detail"]) == ("lost", True)


def test_the_third_unfinished_start_is_poison(board: Board) -> None:
    run = facts(crashes=1)
    assert isinstance(recorder(board, lease=-1).start(run), Started)
    run.crashes = 2
    assert isinstance(recorder(board, lease=-1).start(run), Started)
    run.crashes = 3
    own = recorder(board)
    assert own.start(run) == Refused("poison", detail="3")
    assert own.bury(run, failure("PoisonMessage"), reason="poison", attempt=3)
    assert not own.bury(run, failure("PoisonMessage"), reason="poison", attempt=3)
    assert board.query("select state, crashes from board.runs") == [("failed", 3)]
    assert board.query("select reason, attempts from board.dead_letters") == [("poison", 3)]
    assert own.start(run) == Refused("ended")


def test_one_crash_is_enough_where_one_is_allowed(board: Board) -> None:
    board.settings.__dict__["max_crashes"] = 1
    assert recorder(board).start(facts(crashes=1)) == Refused("poison", detail="1")
    assert board.query("select state, token, started_at from board.runs") == [("pending", None, None)]


@pytest.mark.parametrize("kind", [{"durable": True}, {"single": True}, {"concurrency": 2}, {"rate": (5, 1.0)}])
def test_a_message_that_was_only_fetched_by_the_dead_counts_nothing(board: Board, kind: dict[str, Any]) -> None:
    assert isinstance(recorder(board).start(facts(crashes=2, **kind)), Started)
    assert board.query("select crashes, attempt, history from board.runs") == [(0, 1, None)]


def test_starts_of_all_kinds_in_one_batch(board: Board) -> None:
    own = recorder(board)
    ended, twice = facts("ended"), facts("twice")
    own.finish_many([ending(ended, light(own))])
    asked: list[RunFacts] = [
        ended,
        twice,
        facts("single", single=True),
        facts("single", single=True),
        facts("two", concurrency=1),
        facts("two", concurrency=1),
        twice,
    ]
    answers = own.start_many(asked)
    told = [answer.reason if isinstance(answer, Refused) else "started" for answer in answers]
    assert told[:2] == ["ended", "started"]
    assert sorted(told[2:4]) == ["overlap", "started"]
    assert sorted(told[4:6]) == ["limit", "started"]
    assert told[6] == "elsewhere"
    assert sorted(states(board).values()) == ["cancelled", "completed", "pending", "running", "running", "running"]


def test_a_start_that_cannot_be_written_does_not_hold_up_the_others(board: Board) -> None:
    own, odd, plain = recorder(board), facts("odd"), facts("plain")
    board.execute("alter table board.runs add constraint odd check (job <> 'odd')")
    first, second = own.start_many([odd, plain])
    assert first == Refused("early", delay=2.0)
    assert isinstance(second, Started)
    with pytest.raises(Exception, match="odd"):
        own.start(odd)
    assert states(board) == {plain.id: "running"}


def test_a_pending_run_that_was_cancelled_does_not_start(board: Board) -> None:
    own, run = recorder(board), facts(durable=True)
    with transaction() as connection:
        runs.insert_pending(connection, run)
        connection.exec_driver_sql("update board.runs set cancel_requested_at = now()")
    assert own.start_many([run]) == [Refused("ended", detail="cancelled")]
    assert states(board) == {run.id: "cancelled"}


def test_claims_are_given_back_or_kept_by_how_a_run_ended(board: Board) -> None:
    own = recorder(board)
    single = [facts("single", single=True, scope=str(n)) for n in range(4)]
    answers = own.start_many(single)
    outcomes: list[Outcome] = [Completed(), Failed(failure(), "spent"), Retry(failure(), 1000), Interrupted()]
    batch = [ending(run, start, how) for run, start, how in zip(single, answers, outcomes, strict=True)]
    assert all(own.finish_many(batch))
    left = board.query(
        "select scope, extract(epoch from lease_until - now()) as lease from board.claims order by scope"
    )
    assert [row.scope for row in left] == ["2", "3"]
    assert float(left[0].lease) == pytest.approx(1000 + board.settings.pending_lease_seconds, abs=10)
    assert float(left[1].lease) < 20


def test_a_claim_that_went_to_another_run_stays_there(board: Board) -> None:
    own, run = recorder(board), facts("single", single=True)
    started, other = own.start(run), facts("single", single=True)
    board.execute("update board.claims set lease_until = now() - interval '1 s'")
    with transaction() as connection:
        assert claims.take(connection, other, lease=60) == run.id  # it still runs on a worker that nobody buried
    board.execute("update board.workers set state = 'dead'")
    with transaction() as connection:
        assert claims.take(connection, other, lease=60) is None
    assert own.finish_many([ending(run, started)]) == [True]
    assert board.query("select run_id from board.claims") == [(other.id,)]


def test_schedules_hear_of_starts_and_ends_in_order(board: Board) -> None:
    own = recorder(board)
    with transaction() as connection:
        rows = [{"job": job, "queue": "q", "cadence": "c", "interval_seconds": 1.0} for job in ("a", "b")]
        schedules.declare(connection, rows, now=facts().created_at)
    board.execute("update board.schedules set consecutive_failures = 5")
    ticks = [facts(job, recurring=True, durable=True) for job in "aaabb"]
    answers = own.start_many(ticks)
    assert board.one("select count(*) from board.schedules where last_start_at is not null") == 2
    outcomes: list[Outcome] = [
        Completed(),
        Failed(failure(), "spent"),
        Retry(failure(), 60),
        *[Failed(failure(), "spent")] * 2,
    ]
    batch = [ending(run, start, how) for run, start, how in zip(ticks, answers, outcomes, strict=True)]
    assert all(own.finish_many(batch))
    seen = board.query(
        "select job, consecutive_failures, last_state, last_success_at is not null, last_duration_seconds"
        " from board.schedules order by job"
    )
    assert seen == [("a", 1, "failed", True, 2.0), ("b", 7, "failed", False, 2.0)]


def test_writers_of_the_same_rows_do_not_wait_for_each_other_in_a_circle(board: Board) -> None:
    """A committer, and two hearts, which go the other way: first claims, then runs."""
    own, batch = recorder(board), [facts("single", single=True, scope=str(n)) for n in range(20)]
    stop = time.monotonic() + 2.0

    def shuffled(some: list[RunFacts]) -> list[RunFacts]:
        return random.sample(some, len(some))

    def work() -> int:
        done = 0
        while time.monotonic() < stop:
            asked = shuffled(batch)
            begun = [
                (run, one) for run, one in zip(asked, own.start_many(asked), strict=True) if isinstance(one, Started)
            ]
            done += sum(own.finish_many([ending(run, one, Retry(failure(), 0)) for run, one in begun]))
        return done

    def disturb() -> int:
        rounds = 0
        while time.monotonic() < stop:
            rows = board.query("select id, created_at, token from board.runs where state = 'running' order by random()")
            progress = [{**row._mapping, "progress": {"n": 1}, "counts": None} for row in rows]
            with get_engine().begin() as connection:
                claims.renew(connection, [run.id for run in shuffled(batch)], lease=60)
                runs.save_progress(connection, progress)
            rounds += 1
        return rounds

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(work), pool.submit(disturb), pool.submit(disturb)]
    assert all(future.result() > 0 for future in futures)
