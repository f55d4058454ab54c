"""Why a run does not run, and how its time is told apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.ledger.tables import STATES
from callboard.waiting import KINDS, Facts, reasons, times

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
PENDING = Facts(
    now=NOW,
    run="abcd1234",
    state="pending",
    job="mailing",
    queue="mail",
    attempt=0,
    eligible_at=NOW - timedelta(seconds=30),
    has_message=True,
    paused=False,
    consumers=2,
    threads=16,
    busy=16,
    ready=13,
    claimed=16,
)


def in_seconds(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("changes", "kind", "words", "command"),
    [
        (
            {"retry_at": in_seconds(12), "eligible_at": in_seconds(12), "attempt": 2, "error": "OSError: away"},
            "retry",
            "attempt 3 in 12 s after OSError: away",
            "callboard run show abcd1234",
        ),
        ({"eligible_at": in_seconds(7200)}, "scheduled", "in 2 h", "callboard queues delayed mail"),
        ({"paused": True}, "paused", "queue mail is paused", "callboard queues resume mail"),
        ({"consumers": 0}, "no_worker", "no worker takes queue mail", "callboard worker"),
        (
            {"has_message": False, "resent": True},
            "lost",
            "not in the broker any more; the scheduler sends it",
            "callboard check",
        ),
        ({"has_message": False, "resent": True, "sent": False}, "lost", "lost or not sent yet", "callboard check"),
        ({"has_message": False}, "lost", "nobody sends it again", "callboard cancel abcd1234"),
        (
            {"concurrency": 2, "running": 2},
            "limit",
            "2 of 2 allowed runs of mailing are running",
            "callboard runs --job mailing --state running",
        ),
        (
            {"rate": (100, 60.0), "rate_opens": 0.4},
            "limit",
            "100 starts in 60 s, the next one in 0.4 s",
            "callboard runs --job mailing",
        ),
        ({"most_claimed": 16}, "limit", "16 of 16 allowed messages of mail", "callboard queues limit mail N"),
        (
            {"reason": "limit: concurrency 2", "concurrency": 2, "running": 1},
            "limit",
            "(concurrency 2) when it was last tried",
            "callboard runs --job mailing --state running",
        ),
        ({"holder": "ffff0000"}, "overlap", "run ffff0000 is there", "callboard run show ffff0000"),
        ({}, "queued", "behind up to 12 others; 16 of 16 threads that take mail are busy", "callboard queues"),
        ({"ready": 1, "busy": 3}, "queued", "next in line; 3 of 16 threads", "callboard queues"),
        ({"ready": 0, "threads": None, "busy": None}, "queued", "next in line", "callboard queues"),
        ({"ready": None, "paused": None, "has_message": None}, "unknown", "broker does not answer", "callboard check"),
    ],
)
def test_each_reason_has_its_words_and_its_command(
    changes: dict[str, Any], kind: str, words: str, command: str
) -> None:
    (found,) = reasons(replace(PENDING, **changes))
    assert (found.kind, found.command) == (kind, command)
    assert words in found.text


def test_what_holds_the_run_now_stands_first_and_what_will_hold_it_after() -> None:
    later = replace(PENDING, retry_at=in_seconds(60), eligible_at=in_seconds(60), paused=True, consumers=0)
    assert [one.kind for one in reasons(later)] == ["retry", "paused", "no_worker"]
    assert reasons(later)[0].until == in_seconds(60)


def test_limits_and_the_line_are_not_asked_of_a_run_whose_time_has_not_come() -> None:
    later = replace(PENDING, eligible_at=in_seconds(60), concurrency=1, running=5, holder="x")
    assert [one.kind for one in reasons(later)] == ["scheduled"]


def test_a_retry_whose_time_has_come_is_queued_like_any_other() -> None:
    assert [one.kind for one in reasons(replace(PENDING, retry_at=in_seconds(-1), attempt=1))] == ["queued"]


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_a_run_that_has_ended_waits_for_nothing(state: str) -> None:
    assert reasons(replace(PENDING, state=state, paused=True, consumers=0)) == ()


def test_a_running_run_is_explained_only_if_its_worker_is_silent() -> None:
    running = replace(PENDING, state="running", consumers=0, paused=True)
    assert reasons(running) == ()
    assert reasons(replace(running, silent=-3.0)) == ()
    (found,) = reasons(replace(running, silent=90.0))
    assert (found.kind, found.command) == ("silent_worker", "callboard workers")
    assert "90 s" in found.text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.42, "0.4 s"), (119, "119 s"), (121, "2 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_times_are_written_in_one_unit(seconds: float, words: str) -> None:
    assert words in reasons(replace(PENDING, eligible_at=in_seconds(seconds)))[0].text


NUMBERS = st.none() | st.integers(0, 1000)
MOMENTS = st.none() | st.integers(-(10**7), 10**7).map(in_seconds)
FACTS = st.builds(
    Facts,
    now=st.just(NOW),
    run=st.just("abcd1234"),
    state=st.sampled_from(STATES),
    job=st.just("mailing"),
    queue=st.just("mail"),
    attempt=st.integers(0, 30),
    eligible_at=MOMENTS,
    retry_at=MOMENTS,
    reason=st.sampled_from(["", "retry", "limit: concurrency 1", "lost"]),
    error=st.sampled_from(["", "OSError: away"]),
    sent=st.booleans(),
    resent=st.booleans(),
    has_message=st.none() | st.booleans(),
    paused=st.none() | st.booleans(),
    consumers=NUMBERS,
    threads=NUMBERS,
    busy=NUMBERS,
    ready=NUMBERS,
    claimed=NUMBERS,
    most_claimed=NUMBERS,
    concurrency=st.none() | st.integers(1, 10),
    running=NUMBERS,
    rate=st.none() | st.tuples(st.integers(1, 100), st.sampled_from([1.0, 60.0])),
    rate_opens=st.none() | st.floats(-10, 1e6),
    holder=st.sampled_from(["", "ffff0000"]),
    silent=st.none() | st.floats(-10, 1e6),
)


@given(FACTS)
def test_every_pending_run_has_a_reason_and_every_reason_words(facts: Facts) -> None:
    found = reasons(facts)
    assert bool(found) or facts.state != "pending"
    assert not found or facts.state in ("pending", "running")
    assert len({one.kind for one in found}) == len(found)
    for one in found:
        assert one.kind in KINDS
        assert one.text
        assert one.command.startswith("callboard ")
    if facts.later and facts.state == "pending":
        assert found[0].kind in ("retry", "scheduled")
        assert found[0].until is not None
        assert found[0].until > facts.now


def row(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - columns
    """A run that was created 100 s ago, might start 10 s later and started 30 s ago."""
    plain = {
        "state": "running",
        "created_at": in_seconds(-100),
        "eligible_at": in_seconds(-90),
        "started_at": in_seconds(-30),
        "finished_at": None,
        "reason": None,
        "history": None,
    }
    return plain | given


def lost(seconds: float) -> dict[str, str]:
    return {"at": in_seconds(seconds).isoformat(), "event": "lost", "detail": "its worker is gone"}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (row(), (60, 30, 100)),
        (row(state="completed", finished_at=in_seconds(-10)), (60, 20, 90)),
        (row(state="pending", started_at=None), (90, None, 100)),
        (row(state="pending", started_at=None, eligible_at=None), (100, None, 100)),
        (row(state="pending", started_at=None, eligible_at=in_seconds(5)), (0, None, 100)),
        (row(state="pending", eligible_at=in_seconds(-5)), (5, None, 100)),
        (row(state="pending", eligible_at=in_seconds(5)), (0, None, 100)),
        (row(state="cancelled", eligible_at=in_seconds(-20), finished_at=in_seconds(-15)), (5, None, 85)),
        (row(state="cancelled", finished_at=in_seconds(-10)), (60, 20, 90)),
        (row(state="failed", reason="poison", eligible_at=in_seconds(-20), finished_at=NOW), (20, None, 100)),
        (row(state="failed", finished_at=NOW), (60, 30, 100)),
        (row(history=[lost(-50)]), (20, 30, 100)),
        (row(history=[{"event": "note"}, lost(-50)]), (20, 30, 100)),
        (row(state="pending", history=[lost(-4)]), (4, None, 100)),
    ],
)
def test_waiting_running_and_the_whole_are_told_apart(run: dict[str, Any], told: tuple[float | None, ...]) -> None:
    assert times(run, NOW) == told


@given(retries=st.integers(1, 5), backoff=st.integers(1, 10_000), ran=st.integers(0, 1000), waited=st.integers(0, 1000))
def test_the_pause_before_a_retry_is_never_waiting(retries: int, backoff: int, ran: int, waited: int) -> None:
    eligible = NOW + timedelta(seconds=retries * (ran + backoff))
    started = eligible + timedelta(seconds=waited)
    ended = started + timedelta(seconds=ran)
    run = row(state="completed", created_at=NOW, eligible_at=eligible, started_at=started, finished_at=ended)
    told = times(run, ended)
    assert (told.wait, told.run) == (waited, ran)
    assert told.end_to_end == retries * (ran + backoff) + waited + ran


@given(state=st.sampled_from(STATES), moments=st.lists(MOMENTS, min_size=3, max_size=3))
def test_no_time_is_negative_whatever_the_clocks_say(state: str, moments: list[datetime | None]) -> None:
    eligible, started, finished = moments
    told = times(row(state=state, eligible_at=eligible, started_at=started, finished_at=finished), NOW)
    assert all(seconds is None or seconds >= 0 for seconds in told)
