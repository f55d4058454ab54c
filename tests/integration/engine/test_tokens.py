"""Token accounting: what language models cost, added up over attempts, and never counted twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from callboard import Delays, current_run, job
from callboard.ledger.facts import Report
from callboard.outcome import Completed, Interrupted, Retry
from callboard.run import Run
from tests.board import Board
from tests.integration.engine.recorder_kit import ending, facts, failure, light, recorder
from tests.support import eventually

USED = "select category, model, calls, prompt_tokens, completion_tokens from board.token_usages order by 1, 2"


def used(prompt: int, category: str = "summary") -> Report:
    usage = {"category": category, "model": "m", "calls": 1, "prompt": prompt, "completion": 1}
    return Report(tokens=[usage])


def usages(board: Board) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in board.query(USED)]


def test_what_the_attempts_of_a_run_used_adds_up(board: Board) -> None:
    @job("summarise", retry=Delays(0.05, jitter=0))
    def summarise() -> None:
        run = current_run()
        run.tokens("summary", model="llama", prompt=100, completion=10)
        run.tokens("summary", model="llama", prompt=50, completion=5)
        run.tokens("embedding", prompt=7, calls=3)
        if run.attempt == 1:
            raise ConnectionError("connection reset")

    with board.worker():
        message = summarise.send()
        eventually(lambda: board.query("select state from board.runs") == [("completed",)])
    assert usages(board) == [("embedding", "", 6, 14, 0), ("summary", "llama", 4, 300, 30)]
    (row,) = board.query("select distinct run_id, correlation_id from board.token_usages")
    assert (str(row.run_id), row.correlation_id) == (message.message_id, f"job-{message.message_id}")


def test_a_commit_that_is_repeated_counts_once(board: Board) -> None:
    own, run = recorder(board), facts()
    end = ending(run, light(own), report=used(100))
    assert own.finish_many([end]) == [True]
    assert own.finish_many([end]) == [True]  # the answer to the first was lost
    assert usages(board) == [("summary", "m", 1, 100, 1)]


def test_an_attempt_that_lost_its_run_counts_nothing(board: Board) -> None:
    frozen, other, run = recorder(board, lease=-1), recorder(board), facts()
    late = ending(run, frozen.start(run), Completed(), used(1000))
    board.execute("update board.runs set state = 'pending', token = null")  # the reaper took it
    assert other.finish_many([ending(run, other.start(run), report=used(5))]) == [True]
    assert frozen.finish_many([late]) == [False]
    assert usages(board) == [("summary", "m", 1, 5, 1)]


def test_tokens_of_retried_and_interrupted_attempts_were_spent_too(board: Board) -> None:
    own, run = recorder(board), facts()
    for outcome in (Retry(failure(), 0), Interrupted(), Completed()):
        own.finish_many([ending(run, own.start(run), outcome, used(10))])
    assert usages(board) == [("summary", "m", 3, 30, 3)]


def test_a_batch_of_runs_with_and_without_is_written_at_once(board: Board) -> None:
    own = recorder(board)
    ends = [ending(facts(), light(own), report=used(n) if n % 2 else Report()) for n in range(10)]
    assert own.finish_many(ends) == [True] * 10
    assert board.query("select count(*), sum(prompt_tokens) from board.token_usages") == [(5, 25)]
    assert board.query("select count(*) from board.runs where state = 'completed'") == [(10,)]


def test_threads_of_a_job_may_report_at_once() -> None:
    run, gate = Run(job="x"), threading.Barrier(4)

    def report() -> None:
        gate.wait(5)
        for _ in range(500):
            run.tokens("summary", prompt=1)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(report) for _ in range(4)]:
            future.result()
    assert run.token_usages == [{"category": "summary", "model": "", "calls": 2000, "prompt": 2000, "completion": 0}]


@pytest.mark.parametrize("wrong", [{"prompt": -1}, {"completion": -1}, {"calls": -1}, {"category": ""}])
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    run = Run(job="x")
    with pytest.raises(ValueError, match="name one, count from 0"):
        run.tokens(**({"category": "summary"} | wrong))
    assert run.token_usages is None
