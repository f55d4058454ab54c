"""What screens show: the story of a run, schedules with their ticks, the whole board, and attempts by minute."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from callboard import current_run, every, job
from callboard.errors import NotFound, PermanentError
from callboard.ledger import schedules, totals, trends
from callboard.ledger.database import transaction
from callboard.operations import Who, letters
from callboard.views import overview, queues, story, workers
from callboard.views import schedules as schedule_views
from tests.support import eventually

if TYPE_CHECKING:
    from tests.board import Board

NOW = datetime(2026, 5, 4, 10, 30, 20, tzinfo=UTC)


def told(run_id: object) -> story.Story:
    with transaction() as connection:
        return story.tell(connection, str(run_id), now=datetime.now(UTC))


def state_of(board: Board, run_id: object) -> str | None:
    return board.query("select max(state) as state from board.runs where id = :id", id=run_id)[0].state


def test_a_run_tells_of_its_attempts_its_letter_and_its_replay(board: Board) -> None:
    broken = {"yes": True}

    @job("part")
    def part() -> None: ...

    @job("fragile")
    def fragile(size: int) -> None:
        part.send()
        if broken["yes"]:
            raise PermanentError(f"cannot take {size}")

    with board.worker():
        first = fragile.send(size=3).message_id
        eventually(lambda: state_of(board, first) == "failed")
        failed = told(first)
        assert [failure["error"] for failure in failed.failures] == ["cannot take 3"]
        assert failed.letter is not None
        assert (failed.letter["state"], failed.replayed_from) == ("open", None)
        kinds = [moment.kind for moment in failed.timeline]
        assert sorted(kinds) == sorted(["created", "started", "failed", "finished"])
        assert kinds[0] == "created"
        broken["yes"] = False
        second = letters.replay(failed.letter["id"], who=Who("cli:anna")).id
        eventually(lambda: state_of(board, second) == "completed")
    again = told(second)
    assert again.replayed_from is not None
    assert again.replayed_from["run_id"] == failed.run["id"]
    assert again.parent is not None
    assert (again.parent["id"], again.letter) == (failed.run["id"], None)
    assert told(first).letter["replay_run_id"] == second  # type: ignore[index]  # it has one
    assert {child["job"] for child in told(first).children} == {"part", "fragile"}


def test_a_run_that_waits_says_for_what(board: Board) -> None:
    @job("lonely")
    def lonely() -> None: ...

    sent = lonely.send_with_options(delay=60_000).message_id
    assert board.query("select 1 from board.runs") == []  # a light run has no row before it starts
    with pytest.raises(NotFound):
        told(sent)


def declare(board: Board, name: str, *, since: datetime) -> None:
    with transaction() as connection:
        row = {"job": name, "queue": "default", "cadence": "every 60 s", "interval_seconds": 60.0}
        schedules.declare(connection, [row], now=since)
    board.execute("update board.schedules set created_at = :at", at=since)


def schedule_view(name: str) -> schedule_views.ScheduleView:
    with transaction() as connection:
        return schedule_views.one(connection, name, now=NOW)


def test_a_schedule_shows_its_fires_its_ticks_and_how_punctual_it_is(board: Board) -> None:
    @job("minutely", cadence=every(seconds=60))
    def minutely() -> None: ...

    declare(board, "minutely", since=NOW - timedelta(minutes=3))
    ticks = [NOW.replace(second=0) - timedelta(minutes=back) for back in (3, 2, 1, 0)]
    run = "00000000-0000-7000-8000-000000000001"
    board.execute(
        """insert into board.runs (id, created_at, job, queue, state, trigger, correlation_id, started_at, finished_at)
           values (:id, :at, 'minutely', 'default', 'completed', 'schedule', 'job-x', :at, :at)""",
        id=run,
        at=ticks[1],
    )
    with transaction() as connection:
        schedules.record(connection, "minutely", ticks[:1], "skipped", reason="paused")
        schedules.record(connection, "minutely", ticks[1:2], "fired", run_id=run)  # type: ignore[arg-type]  # text will do
        schedules.record(connection, "minutely", ticks[2:3], "coalesced", into=ticks[3])
        schedules.record(connection, "minutely", ticks[3:], "skipped", reason="overlap")
    view = schedule_view("minutely")
    assert [tick.mark for tick in view.ticks] == ["skipped", "completed", "coalesced", "skipped"]
    assert view.on_time == pytest.approx(1 / 3)
    assert (view.next_fires[0], len(view.next_fires)) == (NOW.replace(minute=31, second=0), 10)
    assert view.overdue_seconds == 80.0
    assert view.cadence_words == "every minute"


def test_a_paused_schedule_has_no_next_fire_and_is_never_overdue(board: Board) -> None:
    @job("minutely", cadence=every(seconds=60))
    def minutely() -> None: ...

    declare(board, "minutely", since=NOW - timedelta(hours=3))
    assert schedule_view("minutely").overdue_seconds > 10_000
    with transaction() as connection:
        schedules.pause(connection, "minutely", by="cli:anna")
    assert (schedule_view("minutely").next_fires, schedule_view("minutely").overdue_seconds) == ([], 0.0)


def count(outcome: str, attempts: int) -> None:
    with transaction() as connection:
        for _ in range(attempts):
            totals.add(connection, job="busy", queue="default", outcome=outcome, seconds=2.0)


def sample(now: datetime) -> None:
    with transaction() as connection:
        trends.sample(connection, now)


def points(now: datetime, window: timedelta) -> list[overview.Point]:
    with transaction() as connection:
        return overview.series(connection, now=now, window=window)


def test_attempts_are_counted_in_the_minute_they_were_seen(board: Board) -> None:
    count("success", 5)
    sample(NOW - timedelta(minutes=2))  # the first one only sets the marks
    assert board.query("select 1 from board.trends") == []
    count("success", 3)
    sample(NOW - timedelta(minutes=1))
    count("success", 1)
    count("failed", 2)
    sample(NOW - timedelta(seconds=55))
    sample(NOW)
    found = points(NOW, timedelta(minutes=5))
    assert [(point.at.minute, point.success, point.failed, point.seconds) for point in found] == [
        (26, 0, 0, 0.0),
        (27, 0, 0, 0.0),
        (28, 0, 0, 0.0),
        (29, 0, 0, 0.0),
        (30, 4, 2, 12.0),
        (31, 0, 0, 0.0),
    ]


def test_a_long_window_has_no_more_points_than_a_chart_can_show(board: Board) -> None:
    count("success", 1)
    sample(NOW - timedelta(hours=10))
    count("success", 7)
    sample(NOW - timedelta(hours=9))
    found = points(NOW, timedelta(days=7))
    assert len(found) <= 241
    assert sum(point.success for point in found) == 7
    assert len({point.at - before.at for before, point in itertools.pairwise(found)}) == 1
    assert board.one("select count(*) from board.trends") == 1


def test_the_overview_counts_what_is_open(board: Board) -> None:
    @job("fragile")
    def fragile() -> None:
        current_run().count(seen=1)
        raise PermanentError("no")

    with board.worker():
        sent = fragile.send().message_id
        eventually(lambda: state_of(board, sent) == "failed")
        now = datetime.now(UTC)
        with transaction() as connection:
            counts = overview.tell(connection, now=now).counts
            views = workers.listing(connection, now=now)
    assert (counts.failed, counts.dead_letters, counts.issues, counts.workers, counts.threads) == (1, 1, 1, 1, 2)
    assert [(view.shown, view.threads) for view in views] == [("alive", 2)]
    later = {"now": now + timedelta(hours=1)}
    with transaction() as connection:
        silent: list[Any] = workers.listing(connection, everything=True, **later)
    assert silent[0].shown in ("silent", "stopped")


def test_queues_show_the_ledgers_half_when_the_broker_is_away(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    @job("fragile", queue="mail")
    def fragile() -> None: ...

    fragile.send()
    seen = {queue.queue: queue.ready for queue in queues.listing().queues}
    assert seen["mail"] == 1
    monkeypatch.setattr(board.broker, "depths", lambda names: (_ for _ in ()).throw(ConnectionError(f"no {names}")))
    away = queues.listing()
    assert away.broker_error.startswith("no ")
    assert {queue.queue: queue.ready for queue in away.queues}["mail"] is None
