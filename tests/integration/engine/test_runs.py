"""Runs on real servers: what a worker does with messages, and what the ledger says of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import dramatiq
import httpx
import pytest
from dramatiq import Message
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from callboard import (
    Backoff,
    Delays,
    DuplicateRun,
    LedgerUnavailable,
    NoRetry,
    NotFound,
    Run,
    current_run,
    get_job,
    get_settings,
    http_client,
    job,
    transaction,
    trigger,
)
from callboard.cancel import cancel
from callboard.envelope import facts_of
from callboard.filters import parse
from callboard.inline import run_inline
from callboard.ledger import listing, pages, runs
from callboard.ledger.facts import Refused, Report
from callboard.ledger.recorder import Recorder
from callboard.outcome import Cancelled, Completed, Failed
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.broker import Delivery
    from callboard.outcome import Settlement

STATE = "select state from board.runs where id = :id"


def state_of(board: Board, message: Message[object]) -> str | None:
    rows = board.query(STATE, id=message.message_id)
    return rows[0][0] if rows else None


def test_a_run_is_recorded_from_its_start_to_its_end(board: Board) -> None:
    @job("count")
    def count(n: int) -> None:
        run = current_run()
        run.count(seen=n)
        run.note(http_status=200)
        run.progress(n, n, "all done")

    with board.worker():
        message = count.send(3)
        eventually(lambda: state_of(board, message) == "completed")
    with transaction() as connection:
        row = listing.run(connection, message.message_id[:8])
    assert (row["job"], row["queue"], row["attempt"], row["args"]) == ("count", "default", 1, {"n": 3})
    assert (row["counts"], row["notes"]) == ({"seen": 3}, {"http_status": 200})
    assert row["progress"] == {"processed": 3, "total": 3, "message": "all done"}
    assert row["created_at"] <= row["started_at"] <= row["finished_at"]
    assert board.broker.depths(["default"])["default"][:3] == (0, 0, 0)


def test_a_failing_run_is_tried_again_then_buried_with_its_history(board: Board) -> None:
    @job("fail", retry=Delays(0.1, 0.1, jitter=0))
    def fail(order: int, token: str) -> None:
        assert token
        raise ValueError(f"order {order} is refused")

    with board.worker():
        message = fail.send(4711, token="s3cret")
        eventually(lambda: state_of(board, message) == "failed")
    (letter,) = board.query("select * from board.dead_letters")
    assert (letter.job, letter.attempts, letter.kind, letter.state) == ("fail", 3, "runtime", "open")
    assert (letter.error_type, letter.error) == ("ValueError", "order 4711 is refused")
    assert letter.args == {"order": 4711, "token": "[redacted]"}
    assert Message.decode(bytes(letter.payload)).args == (4711,)
    assert [row.attempt for row in board.query("select attempt from board.failures order by id")] == [1, 2, 3]
    (issue,) = board.query("select * from board.issues")
    assert (issue.occurrences, issue.status, issue.id) == (3, "open", letter.issue_id)


def test_failures_that_differ_in_numbers_fold_into_one_issue(board: Board) -> None:
    @job("fail", retry=NoRetry())
    def fail(order: int) -> None:
        raise ValueError(f"order {order} is refused")

    with board.worker():
        for order in range(100, 105):
            fail.send(order)
        eventually(lambda: board.one("select count(*) from board.dead_letters") == 5)
    assert [row.occurrences for row in board.query("select occurrences from board.issues")] == [5]


def test_a_retry_survives_a_broker_that_is_away_when_the_job_fails(board: Board) -> None:
    """Stock Dramatiq loses it: the enqueue's error is swallowed and the old message acknowledged."""
    failed = threading.Event()

    @job("fail_once", retry=Delays(0.1, jitter=0))
    def fail_once() -> None:
        if current_run().attempt == 1:
            refuse.set()
            failed.set()
            raise ConnectionError("no")

    refuse = threading.Event()
    settle = board.broker.settle

    def flaky(batch: Sequence[tuple[Delivery, Settlement]]) -> None:
        if refuse.is_set():
            refuse.clear()
            raise dramatiq.errors.ConnectionClosed(ConnectionError("refused"))
        settle(batch)

    board.broker.settle = flaky  # type: ignore[method-assign]  # the fault under test
    with board.worker():
        message = fail_once.send()
        assert failed.wait(5)
        eventually(lambda: state_of(board, message) == "completed", 15)
    assert board.one("select attempt from board.runs") == 2


def test_a_durable_run_is_in_the_ledger_before_it_is_in_the_broker(board: Board) -> None:
    @job("sync", durable=True)
    def sync() -> None: ...

    message = sync.send()
    assert state_of(board, message) == "pending"
    assert board.one("select payload is not null from board.runs")
    with board.worker():
        eventually(lambda: state_of(board, message) == "completed")
    assert board.one("select payload is null from board.runs")


def test_a_durable_run_is_not_sent_when_the_ledger_does_not_take_it(board: Board) -> None:
    @job("sync", durable=True)
    def sync() -> None: ...

    board.execute("alter table board.runs add constraint closed check (false) not valid")
    with pytest.raises(LedgerUnavailable, match="'sync' is durable and the ledger did not take its run"):
        sync.send()
    assert board.broker.depths(["default"])["default"].ready == 0


def test_overlap_is_refused_with_the_run_that_is_there(board: Board) -> None:
    @job("sync", single_per="project")
    def sync(project: str) -> None: ...

    first = trigger(sync, kwargs={"project": "a"}, by="cli")
    trigger(sync, kwargs={"project": "b"}, by="cli")
    with pytest.raises(DuplicateRun) as caught:
        trigger(sync, kwargs={"project": "a"}, by="cli")
    assert caught.value.existing == first.id
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where state = 'completed'") == 2)
    assert board.one("select count(*) from board.claims") == 0
    trigger(sync, kwargs={"project": "a"}, by="cli")


def test_an_undurable_single_job_is_turned_away_when_it_starts(board: Board) -> None:
    entered, leave = threading.Event(), threading.Event()

    @job("alone", single=True)
    def alone() -> None:
        entered.set()
        assert leave.wait(10)

    with board.worker():
        first = alone.send()
        assert entered.wait(5)
        second = alone.send()
        eventually(lambda: state_of(board, second) == "cancelled")
        leave.set()
        eventually(lambda: state_of(board, first) == "completed")
    assert first.message_id in board.one("select reason from board.runs where id = :id", id=second.message_id)


def test_a_pending_run_that_is_cancelled_never_starts(board: Board) -> None:
    started = threading.Event()

    @job("never", durable=True, single=True)
    def never() -> None:
        started.set()

    facts = trigger(never, by="cli")
    assert cancel(facts.id, by="anna") == "cancelled"
    with pytest.raises(NotFound, match="neither pending nor running"):
        cancel(facts.id, by="anna")
    with board.worker():
        eventually(lambda: board.broker.depths(["default"])["default"][:2] == (0, 0))
    assert not started.is_set()
    assert board.query("select state, cancel_requested_by from board.runs") == [("cancelled", "anna")]
    assert board.one("select count(*) from board.claims") == 0


def test_a_running_run_hears_of_its_cancel_within_a_second(board: Board) -> None:
    entered = threading.Event()

    @job("long")
    def long() -> None:
        entered.set()
        eventually(lambda: current_run().cancelled, 5)

    with board.worker():
        message = long.send()
        assert entered.wait(5)
        eventually(lambda: board.query("select 1 from board.runs where state = 'running'"))
        began = time.monotonic()
        assert cancel(facts_of(message, long.spec).id, by="anna") == "requested"
        eventually(lambda: state_of(board, message) == "cancelled")
    assert time.monotonic() - began < 2


def test_progress_is_seen_while_the_run_runs(board: Board) -> None:
    leave = threading.Event()

    @job("long")
    def long() -> None:
        current_run().count(rows=2)
        current_run().progress(1, 2, "half")
        assert leave.wait(10)

    with board.worker():
        long.send()
        seen = eventually(lambda: board.query("select progress, counts from board.runs where progress is not null"))
        leave.set()
    assert seen == [({"processed": 1, "total": 2, "message": "half"}, {"rows": 2})]


def test_the_late_finish_of_an_attempt_that_lost_its_run_changes_nothing(board: Board) -> None:
    @job("slow")
    def slow() -> None: ...

    facts = facts_of(slow.message(), slow.spec)
    engine = create_engine(board.database_url, poolclass=NullPool)
    first, second = (Recorder(engine, uuid4(), board.settings) for _ in range(2))
    started = first.start(facts)
    assert not isinstance(started, Refused)
    board.execute("update board.runs set state = 'pending', token = null, crashes = 1")  # what the reaper does
    again = second.start(facts)
    assert not isinstance(again, Refused)
    assert (again.attempt, again.token > started.token) == (2, True)
    assert first.finish(facts, started, Completed(), Report({"late": 1}), delivery="") is False
    assert board.query("select state, counts from board.runs") == [("running", None)]
    assert second.finish(facts, again, Completed(), Report({"good": 1}), delivery="") is True
    assert second.finish(facts, again, Completed(), Report({"twice": 1}), delivery="") is True  # said before
    assert board.query("select state, counts from board.runs") == [("completed", {"good": 1})]


def test_a_run_that_a_live_worker_holds_is_not_started_twice(board: Board) -> None:
    entered, leave = threading.Event(), threading.Event()

    @job("held")
    def held() -> None:
        entered.set()
        assert leave.wait(10)

    with board.worker():
        message = held.send()
        assert entered.wait(5)
        eventually(lambda: board.query("select 1 from board.runs where state = 'running'"))
        other = Recorder(create_engine(board.database_url, poolclass=NullPool), uuid4(), board.settings)
        answer = other.start(facts_of(message, held.spec))
        assert isinstance(answer, Refused)
        assert answer.reason == "elsewhere"
        assert answer.delay > 0
        leave.set()
        eventually(lambda: state_of(board, message) == "completed")
    assert other.start(facts_of(message, held.spec)) == Refused("ended")


def test_a_message_that_comes_before_its_retry_is_due_waits(board: Board) -> None:
    @job("early", retry=Delays(60, jitter=0))
    def early() -> None:
        raise ValueError

    with board.worker():
        message = early.send()
        eventually(lambda: board.query("select reason from board.runs") == [("retry",)])
    other = Recorder(create_engine(board.database_url, poolclass=NullPool), uuid4(), board.settings)
    answer = other.start(facts_of(message, early.spec))
    assert isinstance(answer, Refused)
    assert answer.reason == "early"
    assert 55 < answer.delay <= 60


def test_an_unknown_actor_becomes_a_dead_letter_with_its_mend(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_UNKNOWN_JOB_GRACE_SECONDS", "0")
    get_settings.cache_clear()

    @job("known")
    def known() -> None: ...

    stranger: Message[None] = Message("default", "stranger", (1,), {}, {})
    board.broker.enqueue(stranger)
    with board.worker():
        (letter,) = eventually(lambda: board.query("select * from board.dead_letters"))
        eventually(lambda: board.broker.depths(["default"])["default"][:2] == (0, 0))
    assert (letter.job, letter.reason, letter.error_type) == ("stranger", "unknown actor", "UnknownActor")
    assert "CALLBOARD_ACTORS" in letter.error
    assert Message.decode(bytes(letter.payload)).args == (1,)


def test_a_run_that_the_ledger_refuses_to_start_is_not_run_unrecorded(board: Board) -> None:
    calls: list[int] = []

    @job("refused", single=True)
    def refused() -> None:
        calls.append(1)

    board.execute("alter table board.runs add constraint closed check (false) not valid")
    with board.worker():
        message = refused.send()
        eventually(lambda: board.broker.depths(["default"])["default"].delayed == 1)
        assert calls == []
        board.execute("alter table board.runs drop constraint closed")
        eventually(lambda: state_of(board, message) == "completed")
    assert calls == [1]


def test_a_light_run_that_the_ledger_refuses_is_not_acknowledged(board: Board) -> None:
    calls: list[int] = []

    @job("light")
    def light() -> None:
        calls.append(1)

    board.execute("alter table board.runs add constraint closed check (false) not valid")
    with board.worker():
        message = light.send()
        eventually(lambda: calls)
        assert board.broker.depths(["default"])["default"].claimed == 1
        board.execute("alter table board.runs drop constraint closed")
        eventually(lambda: state_of(board, message) == "completed")
        eventually(lambda: board.broker.depths(["default"])["default"].claimed == 0)
    assert calls == [1]


def test_a_time_limit_ends_an_attempt(board: Board) -> None:
    @job("slow", time_limit=0.3, retry=NoRetry())
    def slow() -> None:
        while True:
            time.sleep(0.01)

    with board.worker():
        message = slow.send()
        eventually(lambda: state_of(board, message) == "failed")
    told = board.one("select error_type || ': ' || error from board.dead_letters")
    assert told == "TimeLimitExceeded: it ran for longer than its time_limit"


def test_a_stopping_worker_gives_a_run_back_without_using_up_an_attempt(board: Board) -> None:
    entered = threading.Event()
    calls: list[int] = []

    @job("patient", retry=NoRetry())
    def patient() -> None:
        calls.append(current_run().attempt)
        entered.set()
        while len(calls) == 1:
            time.sleep(0.01)

    patient.options["notify_shutdown"] = True
    with board.worker():
        message = patient.send()
        assert entered.wait(5)
    assert board.query("select state, attempt, reason from board.runs") == [("pending", 0, "interrupted")]
    with board.worker():
        eventually(lambda: state_of(board, message) == "completed")
    assert calls == [1, 1]
    assert board.one("select count(*) from board.failures") == 0


def test_what_cannot_be_written_does_not_keep_a_run_from_ending(board: Board) -> None:
    @job("odd")
    def odd() -> None:
        current_run().note(text="nul \x00 byte", thing=object(), number=float("nan"))
        current_run().count(rows=1)

    with board.worker():
        message = odd.send()
        eventually(lambda: state_of(board, message) == "completed")
    assert board.one("select notes ->> 'text' from board.runs") == "nul  byte"


def test_a_job_in_this_process_is_recorded_like_any_other(board: Board) -> None:
    @job("here", single=True)
    def here(n: int = 1) -> None:
        current_run().count(rows=n)
        if n > 1:
            raise ValueError("too many")
        if n == 0:
            with pytest.raises(DuplicateRun):
                run_inline(get_job("here"))

    done = run_inline(here)
    assert isinstance(done.outcome, Completed)
    assert done.counts == {"rows": 1}
    failed = run_inline(here, {"n": 2})
    assert isinstance(failed.outcome, Failed)
    assert isinstance(run_inline(here, {"n": 0}).outcome, Completed)
    assert [row.state for row in board.query("select state from board.runs order by created_at")] == [
        "completed",
        "failed",
        "completed",
    ]


@pytest.mark.usefixtures("board")
def test_a_time_limit_holds_in_this_process_too() -> None:
    @job("slow_here", time_limit=0.3)
    def slow() -> None:
        while True:
            time.sleep(0.01)

    outcome = run_inline(slow).outcome
    assert isinstance(outcome, Failed)
    assert outcome.failure.error_type == "TimeLimitExceeded"


@pytest.mark.usefixtures("board")
def test_listing_filters_and_finds_by_prefix() -> None:
    @job("alpha", durable=True)
    def alpha() -> None: ...

    @job("beta", durable=True, queue="slow")
    def beta() -> None: ...

    first = trigger(alpha, by="cli")
    second = trigger(beta, by="manual:user:anna")
    cancel(second.id, by="anna")
    with transaction() as connection:
        for words, jobs in (("job:al*", ["alpha"]), ("state:cancelled queue:slow", ["beta"]), ("since:now", [])):
            assert [row["job"] for row in pages.page(connection, parse(words, "runs")).rows] == jobs
        assert listing.run(connection, str(first.id))["job"] == "alpha"
        with pytest.raises(NotFound, match="is no run id"):
            listing.run(connection, "zz")
        with pytest.raises(NotFound, match="fits no run"):
            listing.run(connection, str(uuid4()))


def test_an_outgoing_call_carries_the_correlation_id(callboard_run: Run) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=request.headers["X-Correlation-ID"])

    with http_client(transport=httpx.MockTransport(answer)) as client:
        assert client.get("http://example.invalid/").text == callboard_run.correlation_id


def test_cancelled_while_it_waits_for_its_retry(board: Board) -> None:
    @job("wait", retry=Backoff(max_retries=1, base=30))
    def wait() -> None:
        raise ValueError

    with board.worker():
        message = wait.send()
        eventually(lambda: board.query("select reason from board.runs") == [("retry",)])
        cancel(facts_of(message, wait.spec).id, by="anna")
    assert state_of(board, message) == "cancelled"
    assert Cancelled().reason == "cancelled"
    with transaction() as connection:
        assert runs.cancelled_among(connection, [facts_of(message, wait.spec).id])


def test_a_limit_on_concurrency_holds_over_all_workers(board: Board) -> None:
    lock = threading.Lock()
    now, most, done = [0], [0], []

    @job("narrow", concurrency=2)
    def narrow(number: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
            done.append(number)

    with board.worker(threads=6):
        for number in range(12):
            narrow.send(number)
        eventually(lambda: len(done) == 12, 30)
    assert (most[0], sorted(done)) == (2, list(range(12)))


def test_a_rate_lets_one_window_pass_and_makes_the_rest_wait(board: Board) -> None:
    @job("slow_down", rate="3/s")
    def slow_down() -> None: ...

    recorder = Recorder(create_engine(board.database_url, poolclass=NullPool), uuid4(), board.settings)
    answers = [recorder.start(facts_of(slow_down.message(), slow_down.spec)) for _ in range(5)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [answer.reason for answer in refused] == ["limit", "limit"]
    assert all(0 < answer.delay <= 0.34 for answer in refused)
    board.execute("update board.rates set arrival = now() - interval '1 min'")
    assert not isinstance(recorder.start(facts_of(slow_down.message(), slow_down.spec)), Refused)
