"""Retries of failed runs: which ones, how often, and each at most once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from callboard import AuthenticationError, DeclarationError, JobSpec, NoRetry, job, trigger
from callboard.failure_retry import RetryResult, sweep
from callboard.operations import Who
from callboard.operations.failures import retry
from callboard.settings import get_settings
from scheduler.retrier import Retrier
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

ANNA = Who("cli:anna")
CALLS: list[str] = []


def _actionable(how: str, **_rest: object) -> str | None:
    return "step already succeeded" if how == "done" else None


@pytest.fixture
def failing(board: Board) -> Board:
    """A board with a job that fails in the way its argument says."""
    CALLS.clear()

    @job("step", retry=NoRetry(), actionable=_actionable)
    def step(how: str, order: int = 0) -> None:
        CALLS.append(f"{how} {order}")
        if how == "locked":
            raise AuthenticationError("cookie expired")
        if how == "wrong":
            raise ValueError("invalid payload")
        if how != "well":
            raise ConnectionError(f"{how}: connection reset")

    return board


def fail(board: Board, *hows: str) -> list[int]:
    """Let runs fail so, one after the other; the ids of their failures."""
    known = board.one("select count(*) from board.failures")
    with board.worker():
        for number, how in enumerate(hows, known + 1):
            board.broker.get_actor("step").send(how, order=number)
            eventually(lambda count=number: board.one("select count(*) from board.failures") == count)  # type: ignore[misc]
    return [row.id for row in board.query("select id from board.failures order by id offset :known", known=known)]


def work(board: Board) -> None:
    """Run what is there to its end."""
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where state in ('pending', 'running')") == 0)


def later(board: Board) -> None:
    """Let an hour pass for every retry that was made."""
    board.execute("""
        update board.failures
        set retry_state = jsonb_set(retry_state, '{last_retry_at}', to_jsonb(now() - interval '1 hour'))
        where retry_state ? 'last_retry_at'
    """)


def told(results: Sequence[RetryResult]) -> dict[int, str]:
    return {result.failure_id: result.result for result in results}


def test_a_sweep_retries_what_may_have_passed_and_nothing_else(failing: Board) -> None:
    away, _, _, done = fail(failing, "away", "locked", "wrong", "done")
    results = sweep()
    assert told(results) == {done: "skipped", away: "retried"}  # newest first
    assert results[0].detail == "Job 'step' is no longer actionable: step already succeeded"
    (row,) = failing.query("select * from board.runs where trigger = :trigger", trigger=f"retry:{away}")
    (old,) = failing.query("select * from board.failures where id = :id", id=away)
    assert (row.args, row.parent_id, row.correlation_id) == (old.args, old.run_id, old.correlation_id)
    assert str(row.id) == results[1].detail
    state = old.retry_state
    assert (state["attempts"], state["source"], state["last_retry_run_id"]) == (1, "auto", str(row.id))
    (letter,) = failing.query("select * from board.dead_letters where run_id = :id", id=old.run_id)
    assert (letter.state, letter.replay_run_id, letter.settled_by) == ("replayed", row.id, "scheduler")
    CALLS.clear()
    work(failing)
    assert CALLS == ["away 1"]
    assert failing.one("select count(*) from board.failures where id = :id", id=away) == 1


def test_attempts_are_counted_along_the_chain_until_there_were_enough(failing: Board) -> None:
    fail(failing, "away")
    for attempt in (1, 2):
        assert list(told(sweep(attempts=2)).values()) == ["retried"]
        work(failing)
        states = failing.query("select retry_state->>'attempts' from board.failures order by id")
        assert [row[0] for row in states] == [str(number) for number in range(1, attempt + 1)] + [None]
        assert [(result.result, "s ago" in result.detail) for result in sweep(attempts=9)] == [("skipped", True)]
        later(failing)
    (last,) = sweep(attempts=2)
    assert (last.result, last.detail) == ("skipped", "it was retried 2 times")
    assert len(CALLS) == 3


def test_a_sweep_stops_at_its_limit_and_looks_no_further_than_five_times_that(failing: Board) -> None:
    ids = fail(failing, *["away"] * 3, *["done"] * 5)
    assert told(sweep(limit=1)) == dict.fromkeys(reversed(ids[3:]), "skipped")
    results = sweep(limit=2)
    assert [result.failure_id for result in results if result.result == "retried"] == [ids[2], ids[1]]
    assert told(sweep(limit=2)) == dict.fromkeys(reversed(ids[3:]), "skipped") | {ids[0]: "retried"}


def test_old_failures_and_earlier_attempts_are_left_alone(failing: Board) -> None:
    (old,) = fail(failing, "away")
    failing.execute("update board.failures set occurred_at = now() - interval '73 hours'")
    (new,) = fail(failing, "away")
    failing.execute(
        """
        insert into board.failures
            (run_id, job, queue, attempt, kind, retryable, label, error_type, error, correlation_id)
        select run_id, job, queue, attempt + 1, kind, false, label, error_type, error, correlation_id
        from board.failures where id = :id
    """,
        id=new,
    )
    assert sweep() == []
    (result,) = retry([new], who=ANNA)
    assert result.result == "refused"
    assert "which went on and is failed" in result.detail
    assert told(retry([old], who=ANNA)) == {old: "retried"}  # by hand, age is no bar


def test_an_operator_is_told_why_not(failing: Board) -> None:
    locked, wrong, done, away = fail(failing, "locked", "wrong", "done", "away")
    answers = {result.failure_id: result for result in retry([locked, wrong, done, 999], who=ANNA)}
    assert {result.result for result in answers.values()} == {"refused"}
    assert "renew it first, then force" in answers[locked].detail
    assert "is not retryable (runtime, non_recoverable)" in answers[wrong].detail
    assert "no longer actionable: step already succeeded" in answers[done].detail
    assert "No failure has the id 999" in answers[999].detail
    (first,) = retry([away, away], who=ANNA, why="the server is back")
    (second,) = retry([away], who=ANNA)
    assert (first.result, second.result) == ("retried", "refused")
    assert f"already running again, as run {first.detail} (pending)" in second.detail
    work(failing)
    (third,) = retry([away], who=ANNA, force=True)
    assert "at most once, so retry the failure of that run" in third.detail
    (row,) = failing.query("select * from board.audit where action = 'failure.retry'")
    assert (row.who, row.resource_id, row.why) == ("cli:anna", str(away), "the server is back")
    assert row.detail["run_id"] == first.detail


def test_force_goes_beyond_advice(failing: Board) -> None:
    ids = fail(failing, "locked", "wrong", "done")
    assert told(retry(ids, who=ANNA, force=True)) == dict.fromkeys(ids, "retried")


def test_a_discarded_letter_and_an_unloaded_job_are_said(failing: Board) -> None:
    gone, unknown = fail(failing, "away", "away")
    failing.execute(
        "update board.dead_letters set state = 'discarded', settled_by = 'cli:bert' where id = "
        "(select min(id) from board.dead_letters)"
    )
    failing.broker.actors.pop("step")
    first, second = retry([gone, unknown], who=ANNA)
    assert first.detail.endswith("was discarded by cli:bert.")
    assert "No loaded module declares the job 'step'" in second.detail
    (swept,) = sweep()
    assert (swept.failure_id, swept.result) == (unknown, "refused")
    state = failing.one("select retry_state from board.failures where id = :id", id=unknown)
    assert "No loaded module" in state["error"]
    assert state["attempts"] == 0


def test_a_check_of_the_job_that_fails_is_no_reason_to_run_it(board: Board) -> None:
    def ask(**_args: object) -> str | None:
        raise LookupError("no such table")

    @job("step", retry=NoRetry(), actionable=ask)
    def step(how: str, order: int) -> None:
        raise ConnectionError(f"{how} {order}")

    (failure,) = fail(board, "away")
    (result,) = sweep()
    assert (result.failure_id, result.result) == (failure, "skipped")
    assert "its own check failed (LookupError: no such table)" in result.detail


def test_a_single_job_that_is_there_already_is_skipped(board: Board) -> None:
    @job("step", retry=NoRetry(), single=True)
    def step(how: str, order: int) -> None:
        raise ConnectionError(f"{how} {order}")

    (failure,) = fail(board, "away")
    there = trigger(step, kwargs={"how": "away", "order": 9}, by="cli")
    (result,) = sweep()
    assert (result.failure_id, result.result) == (failure, "skipped")
    assert f"already has run {there.id}" in result.detail
    assert board.one("select state from board.dead_letters") == "open"


def test_many_at_once_make_one_run_of_each(failing: Board) -> None:
    ids = fail(failing, *["away"] * 4)
    gate = threading.Barrier(6)

    def ask(number: int) -> Sequence[RetryResult]:
        gate.wait(10)
        return sweep(by=f"s{number}") if number % 2 else retry(ids, who=ANNA)

    with ThreadPoolExecutor(6) as pool:
        answers = [result for results in pool.map(ask, range(6)) for result in results]
    assert sorted(one.failure_id for one in answers if one.result == "retried") == ids
    assert failing.one("select count(*) from board.runs where trigger like 'retry:%'") == 4
    assert failing.one("select count(*) from board.dead_letters where state = 'replayed'") == 4


def test_the_retrier_sweeps_while_it_leads_and_only_if_it_is_to(failing: Board) -> None:
    fail(failing, "away")
    count = "select count(*) from board.runs where trigger like 'retry:%'"
    Retrier(get_settings(), lambda: True).tick()  # off, unless somebody says so
    chosen = get_settings().model_copy(update={"failure_retry_seconds": 60.0})
    Retrier(chosen, lambda: False).tick()
    assert failing.one(count) == 0
    Retrier(chosen, lambda: True).tick()
    assert failing.one(count) == 1


def test_actionable_must_take_what_the_job_takes() -> None:
    def step(run_id: str, force: bool = False) -> None: ...  # noqa: FBT001, FBT002 - a job's arguments

    assert JobSpec(name="x", fn=step, actionable=lambda **_: None).actionable is not None
    assert JobSpec(name="x", fn=step, actionable=lambda run_id, force: None).actionable is not None  # noqa: ARG005
    with pytest.raises(DeclarationError, match="does not take force"):
        JobSpec(name="x", fn=step, actionable=lambda run_id: None)  # noqa: ARG005
    with pytest.raises(DeclarationError, match="is no function"):
        JobSpec(name="x", fn=step, actionable="yes")  # type: ignore[arg-type] # what is refused
