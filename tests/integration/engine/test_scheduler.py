"""The scheduler on a real ledger, with a clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dramatiq
import periodiq
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from callboard import cron, every, job, transaction, trigger
from callboard.ledger import schedules
from callboard.testing import Clock
from scheduler.leader import Leader
from scheduler.process import Scheduler
from scheduler.ticker import Ticker
from tests.board import Board
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
TICKS = "select scheduled_for, outcome, reason, coalesced_into, run_id from board.occurrences order by scheduled_for"


@pytest.fixture
def connection(board: Board) -> Iterator[Connection]:
    engine = create_engine(board.database_url, poolclass=NullPool)
    with engine.connect() as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


def started(board: Board, connection: Connection, clock: Clock) -> Ticker:
    ticker = Ticker(board.broker)
    ticker.declare(connection, clock())
    assert ticker.tick(connection, clock()) == []
    return ticker


def finish_all(board: Board) -> None:
    board.execute("update board.runs set state = 'completed', payload = null")


def test_a_tick_becomes_one_run_with_its_time(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    assert ticker.next_due() == NOON + timedelta(minutes=5)
    assert ticker.tick(connection, clock.advance(299)) == []
    assert ticker.tick(connection, clock.advance(1)) == ["five"]
    assert ticker.tick(connection, clock()) == []
    (run,) = board.query("select id, trigger, scheduled_for, missed, state, enqueued_at from board.runs")
    assert (run.trigger, run.scheduled_for, run.missed, run.state) == ("schedule", clock(), 0, "pending")
    assert run.enqueued_at is not None
    assert board.query(TICKS) == [(clock(), "fired", None, None, run.id)]
    assert board.broker.depths(["default"])["default"].ready == 1


def test_an_hour_down_becomes_one_run_that_knows_of_twelve(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    assert ticker.tick(connection, clock.advance(3600)) == ["five"]
    assert board.query("select missed, scheduled_for from board.runs") == [(12, clock())]
    ticks = board.query(TICKS)
    assert [tick.outcome for tick in ticks] == ["coalesced"] * 11 + ["fired"]
    assert {tick.coalesced_into for tick in ticks[:11]} == {clock()}
    assert board.one("select missed from board.schedules") == {"scheduler_down": 11}


def test_a_run_that_is_still_there_makes_the_tick_a_counted_skip(
    board: Board, connection: Connection, clock: Clock
) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    ticker.tick(connection, clock.advance(300))
    assert ticker.tick(connection, clock.advance(300)) == []
    first = board.one("select id from board.runs")
    assert board.query(TICKS)[1][1:] == ("skipped", "overlap", None, first)
    finish_all(board)
    assert ticker.tick(connection, clock.advance(300)) == ["five"]
    assert board.one("select missed from board.schedules") == {"overlap": 1}


def test_a_manual_run_holds_back_the_tick_too(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    manual = trigger(five, by="cli")
    ticker.tick(connection, clock.advance(300))
    assert board.query(TICKS)[0][1:] == ("skipped", "overlap", None, manual.id)


def test_a_paused_schedule_writes_its_ticks_and_fires_none(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    with transaction() as other:
        assert schedules.pause(other, "five", by="anna")
        assert not schedules.pause(other, "six", by="anna")
    ticker.tick(connection, clock.advance(600))
    assert [tick[1:3] for tick in board.query(TICKS)] == [("skipped", "paused")] * 2
    with transaction() as other:
        assert schedules.resume(other, "five")
        assert schedules.history(other, "five")[0]["reason"] == "paused"
        assert schedules.listing(other)[0]["outcomes"] == ["skipped", "skipped"]
    assert ticker.tick(connection, clock.advance(300)) == ["five"]
    assert board.one("select missed from board.runs") == 0


def test_a_tick_beyond_its_late_limit_is_skipped_with_a_row(board: Board, connection: Connection, clock: Clock) -> None:
    @job("noonish", cadence=cron("5 * * * *"), late_limit=60)
    def noonish() -> None: ...

    ticker = started(board, connection, clock)
    assert ticker.tick(connection, clock.advance(300 + 61)) == []
    assert [tick[1:3] for tick in board.query(TICKS)] == [("skipped", "late")]
    assert ticker.tick(connection, clock.advance(3600 - 61 + 59)) == ["noonish"]


def test_one_bad_schedule_does_not_hold_back_another(board: Board, connection: Connection, clock: Clock) -> None:
    for name in ("a", "b", "c"):
        job(name, cadence=cron("*/5 * * * *"))(lambda: None)
    ticker = started(board, connection, clock)
    board.execute("alter table board.runs add constraint no_b check (job <> 'b') not valid")
    assert ticker.tick(connection, clock.advance(300)) == ["a", "c"]
    board.execute("alter table board.runs drop constraint no_b")
    assert ticker.tick(connection, clock.advance(2)) == ["b"]
    assert board.one("select count(distinct run_id) from board.occurrences where outcome = 'fired'") == 3


def test_a_tick_that_has_its_row_is_never_fired_again(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"), single=False)
    def five() -> None: ...

    ticker = started(board, connection, clock)
    ticker.tick(connection, clock.advance(300))
    board.execute("update board.schedules set watermark = :noon", noon=NOON)  # what a restored backup would do
    ticker.declare(connection, clock())
    assert ticker.tick(connection, clock()) == []
    assert board.one("select count(*) from board.runs") == 1


def test_ten_thousands_of_missed_ticks_each_get_a_row(board: Board, connection: Connection, clock: Clock) -> None:
    @job("second", cadence=every(seconds=1))
    def second() -> None: ...

    ticker = started(board, connection, clock)
    assert ticker.tick(connection, clock.advance(25_000)) == ["second"]
    assert board.query("select outcome, count(*) from board.occurrences group by 1 order by 1") == [
        ("coalesced", 24_999),
        ("fired", 1),
    ]


def test_a_new_cadence_counts_from_now_and_a_retired_schedule_keeps_its_row(
    board: Board, connection: Connection, clock: Clock
) -> None:
    job("old", cadence=cron("*/5 * * * *"))(lambda: None)
    started(board, connection, clock)
    board.broker.actors.clear()
    job("new", cadence=cron("*/5 * * * *"))(lambda: None)
    ticker = Ticker(board.broker)
    ticker.declare(connection, clock.advance(3600))
    assert board.query("select job, declared, watermark from board.schedules order by 1") == [
        ("new", True, clock()),
        ("old", False, NOON),
    ]


def test_a_plain_actor_with_periodiqs_own_spec_is_scheduled_too(
    board: Board, connection: Connection, clock: Clock
) -> None:
    @dramatiq.actor(periodic=periodiq.cron("0 0 * * 0"))
    def weekly() -> None: ...

    ticker = started(board, connection, clock)
    sunday = datetime(2026, 1, 11, tzinfo=UTC)
    assert ticker.next_due() == sunday  # which periodiq itself never fires
    clock.now = sunday
    assert ticker.tick(connection, clock()) == ["weekly"]


def test_a_tick_while_the_broker_is_away_is_sent_later(board: Board, connection: Connection, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    ticker = started(board, connection, clock)
    enqueue = board.broker.enqueue

    def refuse(*_: object, **__: object) -> None:
        raise dramatiq.errors.ConnectionClosed(ConnectionError("refused"))

    board.broker.enqueue = refuse  # type: ignore[assignment]  # the fault under test
    assert ticker.tick(connection, clock.advance(300)) == ["five"]
    assert board.query("select state, enqueued_at from board.runs") == [("pending", None)]
    board.broker.enqueue = enqueue  # type: ignore[method-assign]  # healed


def test_only_one_of_two_leads_and_the_other_follows(board: Board) -> None:
    engine = create_engine(board.database_url, poolclass=NullPool)
    first, second = Leader(engine), Leader(engine)
    assert first.try_lead()
    assert first.try_lead()
    assert not second.try_lead()
    with pytest.raises(RuntimeError, match="does not lead"):
        _ = second.connection
    first.resign()
    first.resign()
    eventually(second.try_lead, 5)
    second.resign()


def test_a_leader_that_loses_its_session_cannot_write_any_more(board: Board) -> None:
    engine = create_engine(board.database_url, poolclass=NullPool)
    leader = Leader(engine)
    assert leader.try_lead()
    board.query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
    with pytest.raises(DBAPIError):
        leader.check()
    leader.resign()
    assert leader.try_lead()
    leader.resign()


def test_a_scheduler_takes_over_when_its_session_was_lost(board: Board, clock: Clock) -> None:
    @job("five", cadence=cron("*/5 * * * *"))
    def five() -> None: ...

    scheduler = Scheduler(board.broker, board.settings, clock=clock)
    try:
        assert scheduler._round() <= 1
        assert scheduler.leading
        ours = "from pg_stat_activity where application_name = 'callboard-scheduler'"
        board.query(f"select pg_terminate_backend(pid) {ours}")
        assert scheduler._round() == board.settings.leader_poll_seconds
        assert not scheduler.leading
        clock.advance(300)
        eventually(lambda: scheduler._round() <= 1 and scheduler.leading)
        assert board.one("select count(*) from board.runs") == 1
    finally:
        scheduler.stop()
        scheduler.stop()
        scheduler.loop()
