from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from callboard.supervisor.page import BODY_SIZE, VARIABLE, State, StatusPage
from callboard.supervisor.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.supervisor.page import Slot

RUN = bytes(range(16))
WRITER = """
from callboard.supervisor.page import State, StatusPage
page = StatusPage.of_this_process(99)
page.slot(1).begin(bytes(range(16)), 7, 2, True, 123, b"body")
page.say(State.WORKING)
page.introduce("me")
page.progress()
import os
print(page.threads, "CALLBOARD_STATUS_PAGE" in os.environ)
"""


@pytest.fixture
def page() -> Iterator[StatusPage]:
    made = StatusPage.shared(3)
    yield made
    made.close()


def slot(page: StatusPage, number: int) -> Slot:
    found = page.slot(number)
    assert found is not None
    return found


def test_what_a_thread_does_is_read_by_another_view_of_the_page(page: StatusPage) -> None:
    before = time.monotonic_ns()
    slot(page, 1).begin(RUN, 2**40, 3, False, 99, b"abc")
    view = StatusPage.opened(page.fd)
    (attempt,) = view.running()
    assert attempt[:5] == (1, RUN, 2**40, 3, False)
    assert before <= attempt.started_ns <= time.monotonic_ns()
    assert (attempt.deadline_ns - attempt.started_ns, view.body(attempt)) == (99, b"abc")
    slot(page, 1).end()
    assert view.running() == []
    view._memory.close()


def test_jobs_are_counted_over_all_threads(page: StatusPage) -> None:
    first, second = slot(page, 0), slot(page, 2)
    for _ in range(3):
        first.begin(RUN, 1, 1, True, 0, b"")
        first.end()
    second.begin(RUN, 1, 1, True, 0, b"")
    second.end()
    assert page.jobs == 4
    page.clear()
    assert (page.jobs, page.threads, page.state) == (0, 3, State.STARTING)


def test_only_a_deadline_that_is_over_is_overdue(page: StatusPage) -> None:
    for number, patience in enumerate((0, 10**9, 10**10)):
        slot(page, number).begin(RUN, 1, 1, True, patience, b"")
    first = page.running()[1]
    assert page.overdue(first.deadline_ns - 1) == []
    assert page.overdue(first.deadline_ns) == [first]


def test_a_long_body_is_kept_up_to_the_limit_and_left_out_beyond(page: StatusPage) -> None:
    longest = os.urandom(BODY_SIZE)
    for number in (0, 1, 2):
        slot(page, number).begin(RUN, 1, 1, True, 0, longest + b"x" * (number == 1))
    assert [page.body(attempt) for attempt in page.running()] == [longest, b"", longest]


def test_a_copy_keeps_what_the_page_said(page: StatusPage) -> None:
    slot(page, 2).begin(RUN, 1, 1, True, 5, b"last words")
    page.introduce("broker-id")
    copy = page.copy()
    page.clear()
    (attempt,) = copy.running()
    assert (copy.body(attempt), copy.broker_id, copy.threads) == (b"last words", "broker-id", 3)
    copy.close()


def test_there_is_no_place_for_a_thread_too_many(page: StatusPage) -> None:
    assert page.slot(3) is None
    assert page.slot(-1) is None


def test_without_a_supervisor_the_page_is_memory_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    alone = StatusPage.of_this_process(2)
    slot(alone, 0).begin(RUN, 1, 1, True, 0, b"x")
    assert (len(alone.running()), alone.fd) == (1, -1)
    alone.close()


def test_a_child_writes_on_the_page_it_was_handed_and_hands_it_to_nobody(page: StatusPage) -> None:
    environment = os.environ | {VARIABLE: str(page.fd)}
    done = subprocess.run(
        [sys.executable, "-c", WRITER], env=environment, pass_fds=[page.fd], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "False"]
    (attempt,) = page.running()
    assert (attempt.slot, attempt.token, attempt.attempt, page.body(attempt)) == (1, 7, 2, b"body")
    assert (page.state, page.broker_id) == (State.WORKING, "me")
    assert 0 < page.progress_ns <= time.monotonic_ns()


def test_a_plan_survives_the_command_line() -> None:
    plan = Plan(
        worker=("a", "b c"),
        notary=("n",),
        processes=2,
        threads=8,
        grace_seconds=6.0,
        lease_seconds=10.0,
        max_jobs=5,
        version="1",
    )
    assert Plan.from_json(plan.to_json()) == plan
