"""Runs without a row of their own before they end: one statement for all, and no double run that is not declared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from callboard.ledger.database import AWAY
from callboard.ledger.facts import Refused, Report, Started
from callboard.ledger.recorder import Recorder
from callboard.outcome import Cancelled, Failed, Interrupted, Retry
from tests.board import Board
from tests.integration.engine.recorder_kit import ending, facts, failure, light, recorder


def test_a_light_run_is_one_row_that_tells_all(board: Board) -> None:
    own, parent = recorder(board), uuid4()
    run = facts(args={"n": 3}, parent_id=parent, missed=2, scope="s")
    started, report = light(own), Report({"b": 1, "a": 2}, {"note": "x"}, {"processed": 1})
    assert own.finish_many([ending(run, started, report=report)]) == [True]
    (row,) = board.query(
        "select *, extract(epoch from finished_at - started_at) as ran, extract(epoch from now() - finished_at) as ago"
        " from board.runs"
    )
    assert (row.id, row.created_at, row.job, row.queue) == (run.id, run.created_at, "light", "default")
    assert (row.state, row.attempt, row.crashes, row.token) == ("completed", 1, 0, started.token)
    assert (row.args, row.parent_id, row.missed, row.notify, row.scope) == ({"n": 3}, parent, 2, None, "s")
    assert (list(row.counts), row.notes, row.progress) == (["b", "a"], {"note": "x"}, {"processed": 1})
    assert (row.payload, row.history, row.eligible_at) == (None, None, run.created_at)
    assert float(row.ran) == pytest.approx(2.0, abs=0.001)
    assert 0.5 <= float(row.ago) < 5
    assert board.query("select job, outcome, attempts, seconds, buckets[7] from board.totals") == [
        ("light", "success", 1, 2.0, 1)
    ]


def test_a_cancelled_light_run_says_why(board: Board) -> None:
    own = recorder(board)
    assert own.finish_many([ending(facts(), light(own), Cancelled("early"))]) == [True]
    assert board.query("select state, reason from board.runs") == [("cancelled", "early")]


def test_a_batch_that_is_sent_again_is_kept_and_counted_once(board: Board) -> None:
    own = recorder(board)
    batch = [
        ending(facts(), light(own)),
        ending(facts(), light(own), Interrupted()),
        ending(facts(), light(own), Retry(failure(), 60)),
        ending(facts(), light(own), Failed(failure(), "spent")),
    ]
    assert own.finish_many(batch) == own.finish_many(batch) == [True] * 4
    assert own.finish_many([*batch[1:], ending(facts(), light(own))]) == [True] * 4
    states = [row.state for row in board.query("select state from board.runs order by state")]
    assert states == ["completed", "completed", "failed", "pending", "pending"]
    assert board.one("select sum(attempts) from board.totals") == 5
    assert board.one("select count(*) from board.failures") == 2
    assert board.one("select count(*) from board.dead_letters") == 1
    assert board.query("select id from board.runs where history::text like '%doubled%'") == []


def test_a_double_run_is_declared_once_and_its_neighbours_are_kept(board: Board) -> None:
    first, second = recorder(board), recorder(board)
    run, other = facts(), facts()
    assert first.finish_many([ending(run, light(first))]) == [True]
    late = [ending(run, light(second), report=Report({"late": 1})), ending(other, light(second))]
    assert second.finish_many(late) == [False, True]
    assert second.finish_many(late) == [False, True]
    (row,) = board.query("select counts, history from board.runs where id = :id", id=run.id)
    assert row.counts is None
    assert [entry["event"] for entry in row.history] == ["doubled"]
    assert str(late[0].started.token) in row.history[0]["detail"]
    assert board.one("select sum(attempts) from board.totals") == 2


def test_a_double_run_within_one_batch_is_declared(board: Board) -> None:
    own, run = recorder(board), facts()
    assert sorted(own.finish_many([ending(run, light(own)), ending(run, light(own))])) == [False, True]
    assert board.one("select history -> 0 ->> 'event' from board.runs") == "doubled"


def test_a_light_run_that_was_taken_for_lost_and_started_again_is_fenced_off(board: Board) -> None:
    frozen, second = recorder(board), recorder(board)
    run = facts()
    late = ending(run, light(frozen))
    run.crashes = 1
    again = second.start(run)
    assert isinstance(again, Started)
    assert frozen.finish_many([late]) == [False]
    assert board.query("select state, attempt, token from board.runs") == [("running", 2, again.token)]
    assert second.finish_many([ending(run, again)]) == [True]
    history = board.one("select history from board.runs")
    assert [entry["event"] for entry in history] == ["lost", "doubled"]


def test_a_run_that_lasts_gets_its_row_while_it_runs(board: Board) -> None:
    own, run = recorder(board), facts(args={"n": 1})
    started = light(own)
    assert own.begin_late([(run, started, 30.0)]) == [True]
    assert started.recorded
    (row,) = board.query("select *, extract(epoch from now() - started_at) as since from board.runs")
    assert (row.state, row.token, row.finished_at, row.args) == ("running", started.token, None, {"n": 1})
    assert 30 <= float(row.since) < 35
    assert own.begin_late([(run, started, 31.0)]) == [False]
    assert own.finish_many([ending(run, started, report=Report({"n": 1}))]) == [True]
    assert board.query("select state, counts, finished_at > started_at from board.runs") == [
        ("completed", {"n": 1}, True)
    ]


def test_a_late_row_that_the_ending_does_not_know_of_is_found(board: Board) -> None:
    own, run = recorder(board), facts()
    started = light(own)
    own.begin_late([(run, Started(1, started.token, recorded=False), 1.0)])
    assert own.finish_many([ending(run, started), ending(facts(), light(own))]) == [True, True]
    assert board.query("select distinct state from board.runs") == [("completed",)]
    assert own.begin_late([(run, started, 1.0)]) == [False]
    assert board.query("select distinct state from board.runs") == [("completed",)]


def test_a_light_run_that_is_given_back_waits_without_an_attempt_used_up(board: Board) -> None:
    own, run = recorder(board), facts()
    assert own.finish_many([ending(run, light(own), Interrupted())]) == [True]
    assert board.query("select state, attempt, reason from board.runs") == [("pending", 0, "interrupted")]
    again = own.start(run)
    assert isinstance(again, Started)
    assert again.attempt == 1


def test_light_runs_that_fail_go_on_by_their_rows(board: Board) -> None:
    own, retried, failed = recorder(board), facts(args={"n": 1}), facts(payload=b"\x00\xff whole")
    batch = [
        ending(retried, light(own), Retry(failure("OSError"), 60)),
        ending(failed, light(own), Failed(failure(), "spent")),
        ending(facts(), light(own)),
    ]
    assert own.finish_many(batch) == [True, True, True]
    (row,) = board.query("select *, retry_at - now() as left from board.runs where id = :id", id=retried.id)
    assert (row.state, row.reason, row.delivery, row.error_type) == ("pending", "retry", f"{retried.id}.1", "OSError")
    assert 55 < row.left.total_seconds() <= 60
    assert row.retry_at == row.eligible_at
    (letter,) = board.query("select * from board.dead_letters")
    assert (letter.run_id, bytes(letter.payload), letter.reason, letter.attempts) == (
        failed.id,
        failed.payload,
        "spent",
        1,
    )
    assert letter.error == "no  \\ud800"
    assert board.one("select args from board.failures where run_id = :id", id=retried.id) == {"n": 1}
    early = own.start(retried)
    assert isinstance(early, Refused)
    assert early.reason == "early"


def test_failures_of_one_batch_fold_into_one_issue(board: Board) -> None:
    own = recorder(board)
    batch = [ending(facts(), light(own), Failed(failure(fingerprint=mark), "spent")) for mark in "baabab"]
    assert all(own.finish_many(batch))
    assert all(own.finish_many([ending(facts(), light(own), Failed(failure(fingerprint="a"), "spent"))]))
    rows = board.query(
        "select fingerprint, occurrences, (select count(*) from board.failures f where f.issue_id = i.id) as failures,"
        " (select count(*) from board.dead_letters d where d.issue_id = i.id) as letters from board.issues i order by 1"
    )
    assert rows == [("a", 4, 4, 4), ("b", 3, 3, 3)]


def test_what_postgres_does_not_take_is_left_out_and_the_neighbours_keep_theirs(board: Board) -> None:
    own, odd, plain = recorder(board), facts(), facts()
    board.execute("alter table board.runs add constraint odd check (notes is null or notes::text not like '%odd%')")
    batch = [
        ending(odd, light(own), report=Report({"rows": 1}, {"text": "odd"})),
        ending(plain, light(own), report=Report({"rows": 2}, {"text": "nul \x00, half \ud800", "big": 2**70})),
    ]
    assert own.finish_many(batch) == [True, True]
    rows = {row.id: row for row in board.query("select * from board.runs")}
    assert (rows[odd.id].state, rows[odd.id].counts, rows[odd.id].notes) == ("completed", None, None)
    assert rows[plain.id].notes == {"text": "nul , half \\ud800", "big": str(2**70)}
    assert rows[plain.id].counts == {"rows": 2}
    assert board.one("select sum(attempts) from board.totals") == 2


def test_what_the_ledger_refuses_can_be_sent_again(board: Board) -> None:
    own, batch = recorder(board), [ending(facts(), light(recorder(board))) for _ in range(3)]
    board.execute("alter table board.runs add constraint closed check (state <> 'completed')")
    with pytest.raises(Exception, match="closed"):
        own.finish_many(batch)
    assert board.query("select id from board.runs") == []
    board.execute("alter table board.runs drop constraint closed")
    assert own.finish_many(batch) == [True] * 3


def test_a_connection_that_broke_is_made_again(board: Board) -> None:
    own = recorder(board)
    assert own.finish_many([ending(facts(), light(own))]) == [True]
    batch = [ending(facts(), light(own))]
    board.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
    )
    with pytest.raises(AWAY):
        own.finish_many(batch)
    assert own.finish_many(batch) == [True]
    own.close()
    assert own.finish_many([ending(facts(), light(own))]) == [True]


def test_recorders_count_in_rows_of_their_own(board: Board) -> None:
    first, second = recorder(board), recorder(board)
    for own in (first, second, first):
        own.finish_many([ending(facts(), light(own))])
    assert board.query("select shard, attempts from board.totals order by shard") == [(0, 2), (1, 1)]
    first.close()
    third = recorder(board)
    third.finish_many([ending(facts(), light(third))])
    assert board.query("select shard, attempts from board.totals order by shard") == [(0, 3), (1, 1)]


def test_no_two_attempts_share_a_token(board: Board) -> None:
    own, other = recorder(board), recorder(board)
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda n: (own, other)[n % 2].tokens(), range(5000)))
    begun = own.start(facts())
    assert isinstance(begun, Started)
    assert len({*drawn, begun.token}) == 5001
    assert begun.token > max(drawn)


def test_a_ledger_that_is_away_is_said_to_be(board: Board) -> None:
    nowhere = create_engine("postgresql+psycopg://postgres@127.0.0.1:1/none", poolclass=NullPool)
    own, run = Recorder(nowhere, uuid4(), board.settings), facts()
    started = Started(1, 7, recorded=False)
    for call in (
        lambda: own.finish_many([ending(run, started)]),
        lambda: own.start_many([run]),
        lambda: own.begin_late([(run, started, 1.0)]),
        own.tokens,
    ):
        with pytest.raises(AWAY):
            call()


def test_two_processes_record_one_job_side_by_side(board: Board) -> None:
    recorders = [recorder(board) for _ in range(4)]

    def work(own: Recorder) -> int:
        batches = [[ending(facts(f"job{n % 5}"), light(own)) for n in range(40)] for _ in range(25)]
        return sum(sum(own.finish_many(batch)) for batch in batches)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, recorders)) == 4000
    assert board.one("select count(*) from board.runs where state = 'completed'") == 4000
    assert board.one("select sum(attempts) from board.totals") == 4000
    assert board.query("select distinct job, buckets[7] from board.totals where shard = 0 order by 1") == [
        (f"job{n}", 200) for n in range(5)
    ]
