from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from actors.revenue import pruning
from actors.revenue.event_tables import EVENT_TABLES, hold_partitions
from actors.revenue.pruning import db_pruning
from actors.revenue.settings import get_revenue_settings
from callboard import PermanentError, Run, TransientError, transaction
from callboard.run import enter_run
from tests.integration.revenue.kit import (
    MONTH,
    add_app,
    add_events,
    add_partition,
    add_partitions,
    execute,
    one,
    tables,
)
from tests.support import eventually

if TYPE_CHECKING:
    from uuid import UUID

pytestmark = pytest.mark.usefixtures("revenue")
SIZE = "select pg_database_size(current_database())"


def prune(limit: int = 1) -> Run:
    run = Run(job="db_pruning")
    enter_run(run)
    try:
        db_pruning(limit)
    finally:
        enter_run(None)
    return run


@pytest.fixture
def app() -> UUID:
    return add_app()


def set_limits(monkeypatch: pytest.MonkeyPatch, **given: float) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"CALLBOARD_REVENUE_{name.upper()}", str(value))
    get_revenue_settings.cache_clear()


def test_without_a_limit_nothing_happens_and_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAX_DATABASE_SIZE_GB", raising=False)
    add_partitions([MONTH.later(-5)])
    run = prune(0)
    assert run.notes == {"skipped": True, "reason": "MAX_DATABASE_SIZE_GB is not set"}
    assert run.counts == {"dropped_partitions": 0, "deleted_rows": 0}
    assert run.is_quiet
    assert len(tables()) == 3


def test_the_limit_is_in_binary_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    add_partitions([MONTH.later(-1)])
    monkeypatch.setenv("MAX_DATABASE_SIZE_GB", "100")
    get_revenue_settings.cache_clear()
    run = prune(0)
    assert (run.is_quiet, len(tables())) == (True, 3)
    assert run.notes == {"current_size_gb": round(one(SIZE) / 1024**3, 2)}
    monkeypatch.setenv("MAX_DATABASE_SIZE_GB", str((one(SIZE) - 10_000) / 1024**3))
    get_revenue_settings.cache_clear()
    assert prune(0).counts["dropped_partitions"] == 1


def test_a_limit_below_nothing_is_refused() -> None:
    with pytest.raises(PermanentError, match="max_size_bytes=-1 is below 0"):
        prune(-1)


def test_old_months_go_and_the_current_and_later_ones_stay() -> None:
    kept = add_partitions([MONTH, MONTH.later(1)])
    add_partitions([MONTH.later(-1), MONTH.later(-14)])
    run = prune()
    assert run.counts == {"dropped_partitions": 6, "deleted_rows": 0}
    assert tables() == sorted(kept)
    assert not run.is_quiet
    assert prune().is_quiet


def test_the_oldest_goes_first_and_the_size_is_taken_again_after_each(app: UUID) -> None:
    add_partitions([MONTH.later(-2), MONTH.later(-1), MONTH])
    for month in (MONTH.later(-2), MONTH.later(-1)):
        add_events(app, 2_000, at=month.begin, width=1_000)
    run = prune(one(SIZE) - 1_000_000)
    assert run.counts["dropped_partitions"] == 1
    assert f"events_{MONTH.later(-2)}" not in tables()
    assert len(tables()) == 8


def test_of_one_month_events_go_first() -> None:
    add_partitions([MONTH.later(-1)])
    prune(one(SIZE) - 1)
    assert tables() == sorted([f"funnel_events_{MONTH.later(-1)}", f"metric_events_{MONTH.later(-1)}"])


def test_what_is_named_otherwise_is_left_alone(app: UUID) -> None:
    begin, end = MONTH.later(-3).begin, MONTH.later(-2).begin
    execute(f"create table revenue.events_old partition of revenue.events for values from ('{begin}') to ('{end}')")
    execute("create table revenue.events_default partition of revenue.events default")
    execute("create table revenue.events_1999_01 (id int)")  # no partition, though it is called like one
    add_events(app, 10, at=begin)
    assert prune().is_quiet
    assert one("select count(*) from revenue.events") == 10
    assert one("select count(*) from pg_class where relname = 'events_1999_01'") == 1


def test_then_the_oldest_rows_go_up_to_the_limit_of_a_run(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, pruning_batch=100, pruning_batches=7)
    add_partitions([MONTH])
    add_events(app, 2_000, at=MONTH.begin)
    run = prune()
    assert run.counts == {"dropped_partitions": 0, "deleted_rows": 700}
    assert one("select min(timestamp) from revenue.events") == MONTH.begin.replace(minute=11, second=40)


def test_rows_go_only_until_what_they_took_covers_the_excess(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, pruning_batch=100)
    add_partitions([MONTH])
    add_events(app, 5_000, at=MONTH.begin, width=1_000)
    run = prune(one(SIZE) - 1_000_000)
    assert 800 <= run.counts["deleted_rows"] <= 1_000  # of a thousand bytes each, and somewhat more


def test_space_that_was_freed_is_not_freed_again(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting does not shrink the database: hour after hour, the original deleted on until nothing was left."""
    set_limits(monkeypatch, pruning_batch=100)
    add_partitions([MONTH])
    add_events(app, 10_000, at=MONTH.begin, width=1_000)
    execute(f"analyze revenue.events_{MONTH}")
    limit = one(SIZE) - 2_000_000
    deleted = [prune(limit).counts["deleted_rows"] for _ in range(4)]
    assert one(SIZE) > limit
    assert deleted[0] > 1_500
    assert deleted[2:] == [0, 0]
    assert prune(limit).is_quiet
    assert sum(deleted) < 4_000


def test_space_that_a_killed_run_freed_counts_too(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed before it could vacuum."""
    set_limits(monkeypatch, pruning_batch=100)
    add_partitions([MONTH])
    add_events(app, 10_000, at=MONTH.begin, width=1_000)
    limit = one(SIZE) - 1_000_000
    execute(f"delete from revenue.events_{MONTH} where ctid < '(500,0)'")
    dead = "select n_dead_tup from pg_stat_all_tables where relname = :name"
    eventually(lambda: one(dead, name=f"events_{MONTH}") > 0, what="statistics of the deleted rows")
    assert prune(limit).counts["deleted_rows"] == 0


def test_packed_rows_are_no_free_space(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows of any width."""
    set_limits(monkeypatch, pruning_batch=10, pruning_batches=3)
    for number, width in enumerate((0, 7, 300, 1_500)):
        name = add_partition("events", MONTH.later(number))
        add_events(app, 3_000, at=MONTH.later(number).begin, width=width)
        with transaction() as connection:
            engine = connection.engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"vacuum analyze revenue.{name}"))
    assert prune(one(SIZE) - 40_000).counts["deleted_rows"] > 0


def test_an_empty_partition_is_passed_over_for_the_next(app: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    set_limits(monkeypatch, pruning_batch=10, pruning_batches=5)
    add_partitions([MONTH])
    add_events(app, 20, at=MONTH.begin, table="metric_events")
    add_events(app, 100, at=MONTH.begin, table="funnel_events")
    assert prune().counts["deleted_rows"] == 50
    assert one("select count(*) from revenue.metric_events") == 0


def test_whoever_holds_a_table_is_not_waited_for_long_and_the_run_fails() -> None:
    add_partitions([MONTH.later(-1)])
    with transaction() as reader:
        reader.execute(text("select count(*) from revenue.events"))
        with pytest.raises(TransientError, match=r"somebody held a lock on the event tables for more than 0\.5 s"):
            prune()
    assert len(tables()) == 3
    assert prune().counts["dropped_partitions"] == 3


def test_the_maker_of_partitions_and_the_pruner_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = get_revenue_settings().model_copy(update={"partition_lock_seconds": 20.0})  # on a busy machine
    monkeypatch.setattr(pruning, "get_revenue_settings", lambda: patient)
    add_partitions([MONTH.later(-1)])
    told: list[Run] = []
    with transaction() as maker:
        hold_partitions(maker, 1)
        pruner = threading.Thread(target=lambda: told.append(prune()))
        pruner.start()
        pruner.join(0.2)
        assert pruner.is_alive()
        maker.execute(text("create table revenue.between (id int)"))
    pruner.join(10)
    assert told[0].counts["dropped_partitions"] == len(EVENT_TABLES)


def test_a_cancelled_run_stops_after_the_partition_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    add_partitions([MONTH.later(-1), MONTH.later(-2)])
    run = Run(job="db_pruning")
    enter_run(run)
    progress = Run.progress

    def cancelling(self: Run, done: int, total: int, message: str = "") -> None:
        progress(self, done, total, message)
        self.request_cancel()

    monkeypatch.setattr(Run, "progress", cancelling)
    db_pruning(1)
    assert (run.counts["dropped_partitions"], run.cancel_was_seen, len(tables())) == (1, True, 5)
