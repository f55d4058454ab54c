"""What `callboard top` makes of its looks: rates, problems and a screen that fits; nothing here asks a server."""

from __future__ import annotations

import io
import os
import pty
import termios
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callboard.views.look import Ended, Ledger, Look
from cli.top._keys import Keys, keys, split
from cli.top._screen import Choice, allot, render
from cli.top._sections import JOBS, QUEUES, RUNS, SCHEDULES, SECTIONS, WORKERS
from cli.top._view import View, view
from cli.top._watch import Board, choose
from observability.snapshot import BROKER, POSTGRES, JobFacts, QueueFacts, ScheduleFacts, Snapshot, SourceState

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
UP = {BROKER: SourceState(up=True, seconds=0.1), POSTGRES: SourceState(up=True, seconds=0.1)}


def queue(name: str = "mail", **other: Any) -> QueueFacts:  # noqa: ANN401 - fields of QueueFacts
    facts = QueueFacts(name, 0, 0, 0, 0, 0, 0.0, consumers=2, paused=False, max_age_seconds=60.0)
    return replace(facts, **other)


def schedule(name: str = "nightly", **other: Any) -> ScheduleFacts:  # noqa: ANN401 - fields of ScheduleFacts
    facts = ScheduleFacts(name, name, "mail", "0 2 * * *", 60.0, enabled=True, created_at=NOW - timedelta(days=9))
    usual: dict[str, Any] = {"last_success_at": NOW - timedelta(seconds=30), "max_age_seconds": 120.0}
    return replace(facts, **usual | {"next_run_at": NOW} | other)


def run(number: int = 1, **other: Any) -> dict[str, Any]:  # noqa: ANN401 - columns
    row = {
        "id": UUID(int=number << 96),
        "job": "send",
        "queue": "mail",
        "attempt": 1,
        "seconds": 12.0,
        "progress": {"processed": 3, "total": 9, "message": "mails"},
        "counts": None,
        "cancel_requested_at": None,
        "all_of_them": 1,
    }
    return row | other


def worker(number: int = 1, **other: Any) -> dict[str, Any]:  # noqa: ANN401 - columns
    row = {
        "id": UUID(int=number),
        "host": "host",
        "pid": number,
        "state": "alive",
        "busy": 3,
        "threads": 8,
        "started_at": NOW - timedelta(hours=2),
        "heartbeat_at": NOW,
        "lease_until": NOW + timedelta(seconds=10),
        "seconds_since_heartbeat": 1.0,
        "version": "0.1.0",
        "queues": ["mail"],
    }
    return row | other


def ledger(**other: Any) -> Ledger:  # noqa: ANN401 - fields of Ledger
    found = Ledger({"send": Ended("mail", 100, 4, 6, 50.0)}, [run()], [worker()], "leading")
    return replace(found, **other)


def look(at: float = 0.0, *, seconds: float = 0.0, down: dict[str, str] | None = None, **other: Any) -> Look:  # noqa: ANN401 - fields of Snapshot
    """A quiet board at `at`, with what is given in place of its parts."""
    known = other.pop("ledger", ledger())
    parts = {"queues": (queue(),), "jobs": (JobFacts("send", "mail", time_limit_seconds=60.0),), "sources": UP}
    parts |= {"schedules": (schedule(),)}
    return Look(NOW + timedelta(seconds=seconds), at, Snapshot(**(parts | other)), known, down or {})


def seen(*looks: Look) -> View:
    return view(looks, {})


def texts(found: View) -> list[str]:
    return [problem.text for problem in found.problems]


def lines(found: View, choice: Choice | None = None, *, width: int = 80, height: int = 24) -> list[str]:
    out = Console(width=width, height=height, file=io.StringIO(), highlight=False, markup=False, emoji=False)
    with out.capture() as captured:
        out.print(render(found, choice or Choice(), width=width, height=height))
    return captured.get().splitlines()


# Rates


def test_rates_are_differences_between_two_looks() -> None:
    after = ledger(ended={"send": Ended("mail", 120, 5, 8, 60.0)})
    found = seen(look(queues=(queue(ready=50),)), look(10.0, queues=(queue(ready=40),), ledger=after))
    assert found.seconds == 10
    (job,) = found.jobs
    assert (job["per_second"], job["failures_per_second"], job["mean_seconds"]) == (2.0, pytest.approx(0.3), 0.5)
    assert job["overall_mean_seconds"] == 0.5
    (row,) = found.queues
    assert (row["growth_per_second"], row["drain_per_second"], row["eta_seconds"]) == (-1.0, 2.0, 20.0)


def test_a_job_that_never_ran_before_counts_from_nothing() -> None:
    found = seen(look(ledger=ledger(ended={})), look(2.0, ledger=ledger(ended={"send": Ended("mail", 4, 0, 0, 8.0)})))
    assert (found.jobs[0]["per_second"], found.jobs[0]["mean_seconds"]) == (2.0, 2.0)
    never = seen(look(ledger=ledger(ended={})), look(2.0, ledger=ledger(ended={})))
    assert (never.jobs[0]["per_second"], never.jobs[0]["mean_seconds"], never.jobs[0]["attempts"]) == (0.0, None, 0)


def test_one_look_alone_gives_no_rate() -> None:
    found = seen(look(queues=(queue(ready=5),)))
    assert (found.jobs[0]["per_second"], found.queues[0]["drain_per_second"]) == (None, None)
    assert (found.queues[0]["growth_per_second"], found.queues[0]["eta_seconds"]) == (None, None)


def test_nothing_drains_so_there_is_no_eta() -> None:
    found = seen(look(queues=(queue(ready=5),)), look(2.0, queues=(queue(ready=5),)))
    assert (found.queues[0]["drain_per_second"], found.queues[0]["eta_seconds"]) == (0.0, None)
    assert any("stands" in line for line in lines(found, width=120))


@given(
    before=st.integers(0, 10**6),
    more=st.integers(0, 10**6),
    failed=st.integers(0, 10**6),
    seconds=st.floats(0.1, 100),
)
def test_no_rate_is_negative(before: int, more: int, failed: int, seconds: float) -> None:
    first = ledger(ended={"send": Ended("mail", before, min(before, failed), 0, before * 0.1)})
    last = ledger(ended={"send": Ended("mail", before + more, min(before + more, failed), 0, (before + more) * 0.1)})
    (job,) = seen(look(ledger=first), look(seconds, ledger=last)).jobs
    assert job["per_second"] == pytest.approx(more / seconds)
    assert 0 <= job["failures_per_second"] <= job["per_second"]


# What is wrong


def test_a_quiet_board_has_no_problem() -> None:
    found = seen(look())
    assert found.problems == ()
    assert found.healthy
    assert "all is well" in lines(found)[0]


@pytest.mark.parametrize(
    ("given", "urgent", "words", "command"),
    [
        ({"ledger": ledger(workers=[])}, True, "no worker is alive", "callboard worker"),
        ({"ledger": ledger(scheduler="away")}, True, "no scheduler runs", "callboard scheduler"),
        ({"ledger": ledger(scheduler="standby")}, True, "no scheduler leads", "callboard scheduler"),
        (
            {"ledger": ledger(workers=[worker(), worker(2, seconds_since_heartbeat=11.0)])},
            False,
            "silent: worker host:2",
            "callboard workers",
        ),
        (
            {"queues": (queue(ready=9, oldest_ready_age_seconds=61.0),)},
            True,
            "queue mail is late: oldest 1 min 1 s, promised 1 min",
            "callboard runs --queue mail --state running",
        ),
        ({"queues": (queue(ready=9, consumers=0),)}, True, "no worker takes queue mail, 9 wait", "callboard worker"),
        ({"queues": (queue(paused=True),)}, False, "queue mail is paused, 0 wait", "callboard queues resume mail"),
        (
            {"queues": (queue(paused=True, ready=2, oldest_ready_age_seconds=90.0),)},
            True,
            "queue mail is paused, 2 wait, oldest 1 min 30 s",
            "callboard queues resume mail",
        ),
        ({"queues": (queue(orphaned=3),)}, False, "dead workers hold 3 messages", "callboard workers"),
        (
            {"schedules": (schedule(last_success_at=None),)},
            True,
            "overdue: schedule nightly",
            "callboard runs --job nightly",
        ),
        (
            {"schedules": (schedule(tier="ticket", last_success_at=None),)},
            False,
            "overdue: schedule nightly",
            "callboard runs --job nightly",
        ),
        (
            {"schedules": (schedule(consecutive_failures=2),)},
            False,
            "failed last time: schedule nightly",
            "callboard runs --job nightly",
        ),
        (
            {"ledger": ledger(running=[run(seconds=61.0)])},
            False,
            "send runs for 1 min 1 s, its limit is 1 min",
            "callboard run show 00000001-0000-0000-0000-000000000000",
        ),
        ({"ledger": ledger(critical=1)}, False, "1 critical issue is open", "callboard issues list severity:critical"),
        (
            {"ledger": ledger(critical=2)},
            False,
            "2 critical issues are open",
            "callboard issues list severity:critical",
        ),
        ({"jobs": (JobFacts("send", "mail", dead_letters=1),)}, False, "1 dead letter waits", "dead-letters list"),
        ({"jobs": (JobFacts("send", "mail", dead_letters=7),)}, False, "7 dead letters wait", "dead-letters list"),
    ],
)
def test_each_problem_has_its_words_and_the_command_that_helps(
    *, given: dict[str, Any], urgent: bool, words: str, command: str
) -> None:
    found = seen(look(**given))
    (problem,) = found.problems
    assert (problem.urgent, found.healthy) == (urgent, not urgent)
    assert words in problem.text
    assert command in problem.command


def test_what_is_urgent_and_what_causes_the_rest_stands_first() -> None:
    found = seen(
        look(
            queues=(queue(orphaned=1), queue("slow", ready=3, consumers=0)),
            jobs=(JobFacts("send", "mail", dead_letters=1),),
            ledger=ledger(workers=[]),
        )
    )
    assert texts(found)[:2] == ["no worker is alive", "no worker takes queue slow, 3 wait"]
    assert [problem.urgent for problem in found.problems] == [True, True, False, False]


def test_many_overdue_schedules_are_one_line() -> None:
    late = tuple(schedule(f"job_{number}", last_success_at=None) for number in range(5))
    assert texts(seen(look(schedules=late))) == ["overdue: 5 schedules, job_0, job_1, job_2 ..."]


def test_a_paused_schedule_is_neither_overdue_nor_missed_for_want_of_a_scheduler() -> None:
    paused = schedule(enabled=False, last_success_at=None, consecutive_failures=2)
    assert texts(seen(look(schedules=(paused,), ledger=ledger(scheduler="away")))) == []


def test_a_time_the_clocks_disagree_on_is_never_negative() -> None:
    assert seen(look(ledger=ledger(running=[run(seconds=-3.0)]))).runs[0]["seconds"] == 0


# A source that is down


def test_it_says_which_source_is_down_and_since_when() -> None:
    times = iter([0, 2, 4])

    def asked() -> Look:
        second = next(times)
        return look(float(second), seconds=second, down={POSTGRES: "connection refused"}, ledger=None, jobs=())

    board = Board(asked)
    assert texts(board.refresh()) == ["Postgres does not answer: connection refused"]
    board.refresh()
    found = board.refresh()
    assert texts(found) == ["Postgres does not answer since 12:00:00 UTC: connection refused"]
    told = lines(found)
    assert "1 urgent" in told[0]
    assert sum("? Postgres does not answer" in line for line in told) == 4, "jobs, runs, schedules and workers"
    assert any(line.startswith("mail ") for line in told), "the broker's half is shown all the same"


def test_no_rate_is_taken_across_an_outage() -> None:
    gone = {"down": {POSTGRES: "away"}, "ledger": None}
    later = ledger(ended={"send": Ended("mail", 900)})
    looks = iter([look(), look(2.0, **gone), look(4.0, ledger=later), look(6.0, ledger=later)])  # type: ignore[arg-type] # two of its parts
    board = Board(lambda: next(looks))
    assert [board.refresh().jobs[0]["per_second"] for _ in range(4)] == [None, None, None, 0.0]


def test_what_only_a_broker_that_is_down_knows_is_a_question_mark() -> None:
    blank = queue(ready=None, claimed=None, delayed=None, orphaned=None, oldest_ready_age_seconds=None, paused=None)
    found = seen(look(queues=(blank,), down={BROKER: "away"}))
    row = next(line for line in lines(found, width=120) if line.startswith("mail "))
    assert row.split()[1:4] == ["?", "?", "?"]
    assert not found.healthy


# The screen


def busy_board() -> View:
    many = [run(number, seconds=float(number), all_of_them=300) for number in range(50)]
    made = look(
        queues=tuple(queue(f"queue_{n:02}", ready=n, oldest_ready_age_seconds=float(n * 3)) for n in range(40)),
        jobs=tuple(JobFacts(f"job_{n:03}", "mail", dead_letters=n % 3) for n in range(200)),
        schedules=tuple(schedule(f"schedule_{n}", last_success_at=None) for n in range(30)),
        ledger=ledger(running=many, workers=[worker(n) for n in range(1, 9)]),
    )
    return seen(made, replace(made, at=10.0))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (132, 43), (220, 80), (60, 20)])
@pytest.mark.parametrize("section", range(len(SECTIONS)))
def test_the_screen_fills_the_terminal_and_no_more(width: int, height: int, section: int) -> None:
    told = lines(busy_board(), Choice(section=section), width=width, height=height)
    assert len(told) == height
    assert max(map(len, told)) <= width
    for number, each in enumerate(SECTIONS, start=1):
        assert any(line.startswith(f"{number} {each.name}") for line in told)


def test_what_is_wrong_stands_above_all_tables() -> None:
    told = lines(busy_board())
    assert told[1].startswith("!! ")
    assert "more: callboard top --json" in "".join(told[:6])


def test_eighty_columns_leave_out_whole_columns_rather_than_cut_them() -> None:
    head = next(line for line in lines(busy_board()) if line.startswith("1 queues"))
    assert "…" not in head
    assert "oldest/promise" in head
    wide = next(line for line in lines(busy_board(), width=140) if line.startswith("1 queues"))
    assert {"claimed", "delayed", "dead", "+-/s", "drain/s", "eta", "workers"} <= set(wide.split())


@pytest.mark.parametrize("wrong", ["late", "empty", "failing", "overdue", "silent"])
def test_no_mark_is_a_colour_alone(wrong: str) -> None:
    late = look(
        queues=(queue("late", ready=1, oldest_ready_age_seconds=99.0), queue("empty", ready=1, consumers=0)),
        schedules=(schedule("overdue", last_success_at=None),),
        jobs=(JobFacts("failing", "mail"),),
        ledger=ledger(ended={"failing": Ended("mail", 5, 5)}, workers=[worker(seconds_since_heartbeat=99.0)]),
    )
    before = replace(late, at=-5.0, ledger=ledger(ended={}))
    told = lines(seen(before, late), width=120)
    assert any(wrong in line and "!" in line for line in told[5:]), "below the sentences that tell it too"


@pytest.mark.parametrize(
    ("section", "rows", "order"),
    [
        (QUEUES, [queue("a"), queue("b", ready=5), queue("c", ready=1, oldest_ready_age_seconds=90.0)], "cba"),
        (SCHEDULES, [schedule("a"), schedule("b", enabled=False), schedule("c", last_success_at=None)], "cab"),
    ],
)
def test_what_is_worst_stands_first(section: Any, rows: list[Any], order: str) -> None:  # noqa: ANN401 - Section
    given: dict[str, Any] = {section.name: tuple(rows)}
    found = seen(look(**given))
    ordered = sorted(section.rows(found), key=section.sorts[0].key)
    assert "".join(row[section.name.removesuffix("s")] for row in ordered) == order


def test_jobs_are_sorted_by_how_busy_how_failing_and_how_slow_they_are() -> None:
    jobs = tuple(JobFacts(name, "mail") for name in ("busy", "failing", "slow"))
    ended = {"busy": Ended("mail", 90, 1), "failing": Ended("mail", 9, 8), "slow": Ended("mail", 2, 0, 0, 60.0)}
    found = seen(look(jobs=jobs, ledger=ledger(ended={})), look(1.0, jobs=jobs, ledger=ledger(ended=ended)))
    first = [min(JOBS.rows(found), key=sort.key)["job"] for sort in JOBS.sorts]
    assert first == ["busy", "failing", "slow"]


def test_the_oldest_run_and_the_silent_worker_stand_first() -> None:
    found = seen(
        look(
            ledger=ledger(
                running=[run(1, seconds=1.0), run(2, seconds=9.0)],
                workers=[worker(1), worker(2, seconds_since_heartbeat=60.0)],
            )
        )
    )
    assert min(RUNS.rows(found), key=RUNS.sorts[0].key)["seconds"] == 9
    assert min(WORKERS.rows(found), key=WORKERS.sorts[0].key)["pid"] == 2


def test_every_sort_of_every_section_takes_what_is_not_known() -> None:
    blank = QueueFacts("mail")
    found = seen(
        look(queues=(blank, queue("b")), schedules=(schedule(max_age_seconds=None, next_run_at=None), schedule("b")))
    )
    for section in SECTIONS:
        for sort in section.sorts:
            assert sorted(section.rows(found), key=sort.key)


@given(st.lists(st.integers(1, 300), min_size=5, max_size=5), st.integers(0, 4), st.integers(0, 200))
def test_lines_are_given_out_to_the_last_one(wanted: list[int], chosen: int, free: int) -> None:
    given_out = allot(wanted, chosen, free)
    assert sum(given_out) == min(free, sum(wanted))
    assert all(0 <= lines <= most for lines, most in zip(given_out, wanted, strict=True))
    if free >= 15:
        assert all(given_out)
        assert given_out[chosen] >= min(wanted[chosen], max(given_out))


# Keys


def test_keys_choose_sort_scroll_and_pause() -> None:
    choice = Choice()
    assert choose(choice, "3").section == 2
    assert choose(choice, "tab").section == 1
    assert choose(choice, "backtab").section == len(SECTIONS) - 1
    assert choose(choice, "s").sorts == (1, 0, 0, 0, 0)
    assert choose(choose(choice, "j"), "k") == choice
    assert choose(choice, "k").offset == 0
    assert choose(choose(choice, "j"), "2").offset == 0
    assert choose(choice, "p").paused
    assert choose(choose(choice, "p"), "p") == choice
    assert all(choose(choice, key) == choice for key in ("0", "9", "x", "²", "1"))


def test_scrolling_ends_with_the_last_row() -> None:
    told = lines(busy_board(), Choice(offset=1000, sorts=(3, 0, 0, 0, 0)))
    assert any(line.startswith("queue_39") for line in told)
    assert any("of 40" in line for line in told)


@pytest.mark.parametrize(
    ("pressed", "found"),
    [
        ("q", ["q"]),
        ("\x1b[B1", ["j", "1"]),
        ("\x1b[A\x1b[Z", ["k", "backtab"]),
        (" \t", ["p", "tab"]),
        ("\x1b[5~", ["~"]),
    ],
)
def test_arrow_keys_are_one_key_and_unknown_sequences_none(pressed: str, found: list[str]) -> None:
    assert split(pressed) == found


def test_a_wake_ends_the_wait_and_one_after_the_end_does_nothing() -> None:
    made = Keys(None)
    with closing(made):
        for _ in range(100_000 // 10):
            made.wake()
        assert made.wait(0) == []
    made.wake()


def test_the_terminal_is_given_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as stdin, closing(os.fdopen(ours, "wb", buffering=0)) as keyboard:
        monkeypatch.setattr("sys.stdin", stdin)
        before = termios.tcgetattr(stdin)
        with keys() as pressed:
            assert termios.tcgetattr(stdin) != before
            keyboard.write(b"2s")
            assert pressed.wait(5) == ["2", "s"]
        assert termios.tcgetattr(stdin) == before
        with pytest.raises(ZeroDivisionError), keys():
            _ = 1 / 0
        assert termios.tcgetattr(stdin) == before
