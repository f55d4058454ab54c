from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from actors.revenue.event_tables import EVENT_TABLES, Month, hold_partitions, month_of
from actors.revenue.partitions import create, partition_creation
from callboard import PermanentError, Run, transaction
from tests.integration.revenue.kit import MONTH, add_app, add_events, execute, one, rows, tables

NEXT = [MONTH.later(number) for number in range(3)]


class TestJob:
    @pytest.mark.usefixtures("revenue")
    def test_this_month_and_two_more_are_made_and_a_second_run_is_silent(self, callboard_run: Run) -> None:
        partition_creation()
        made = [f"{table}_{month}" for table in EVENT_TABLES for month in NEXT]
        assert callboard_run.notes == {"created": made, "existing": []}
        assert sorted(tables()) == sorted(made)
        assert not callboard_run.is_quiet

        partition_creation()

        assert callboard_run.notes == {"created": [], "existing": made}
        assert callboard_run.is_quiet

    @pytest.mark.usefixtures("own_revenue")
    def test_a_partition_is_a_month_of_utc_whatever_zone_the_database_is_in(self) -> None:
        execute("do $$ begin execute format('alter database %I set timezone to ''Pacific/Auckland''', "
                "current_database()); end $$")  # fmt: skip
        create([Month(2026, 3)], wait_seconds=1)
        with transaction() as connection:
            connection.execute(text("set local timezone = 'UTC'"))
            bounds = connection.execute(
                text("select pg_get_expr(relpartbound, oid) from pg_class where relname = 'events_2026_03'")
            ).scalar_one()
        assert bounds == "FOR VALUES FROM ('2026-03-01 00:00:00+00') TO ('2026-04-01 00:00:00+00')"

    @pytest.mark.usefixtures("revenue")
    def test_rows_find_their_partition_and_its_indexes(self) -> None:
        create(NEXT, wait_seconds=1)
        app = add_app()
        for table in EVENT_TABLES:
            add_events(app, 3, at=MONTH.later(1).begin - timedelta(seconds=1), table=table)
            assert one(f"select count(*) from revenue.{table}_{MONTH}") == 1
            assert one(f"select count(*) from revenue.{table}_{MONTH.later(1)}") == 2
        found = {row[0].replace(f"_{MONTH}", "") for row in rows(
            "select indexdef from pg_indexes where schemaname = 'revenue' and tablename like :like", like=f"%_{MONTH}"
        )}  # fmt: skip
        columns = ("(app_id, client_event_id", "(app_id, tracking_id", "(app_id, metric_slug", "(app_id, step")
        assert all(any(wanted in definition for definition in found) for wanted in columns)

    @pytest.mark.usefixtures("revenue")
    def test_rows_in_the_default_partition_are_told_of_and_the_rest_is_made(self, callboard_run: Run) -> None:
        execute("create table revenue.events_default partition of revenue.events default")
        add_events(add_app(), 2, at=MONTH.later(1).begin)

        with pytest.raises(PermanentError, match=rf"events_{MONTH.later(1)}: the default partition holds rows"):
            partition_creation()

        assert f"events_{MONTH.later(1)}" not in tables()
        assert f"events_{MONTH.later(2)}" in tables()
        assert len(callboard_run.notes["created"]) == 8
        execute("delete from revenue.events_default")
        partition_creation()
        assert callboard_run.notes["created"] == [f"events_{MONTH.later(1)}"]

    @pytest.mark.usefixtures("revenue")
    def test_what_else_stands_in_the_way_is_told_of(self) -> None:
        start, end = Month(2026, 5).begin - timedelta(hours=1), Month(2026, 6).begin - timedelta(hours=1)
        execute(f"create table revenue.zoned partition of revenue.events for values from ('{start}') to ('{end}')")
        execute("create table revenue.metric_events_2026_05 (id int)")

        made = create([Month(2026, 5)], wait_seconds=1)

        assert "another partition covers" in made.blocked["events_2026_05"]
        assert "a table of that name" in made.blocked["metric_events_2026_05"]
        assert made.created == ["funnel_events_2026_05"]

    @pytest.mark.usefixtures("own_revenue")
    def test_tables_that_are_missing_or_not_partitioned_are_skipped(self, callboard_run: Run) -> None:
        execute("drop table revenue.events, revenue.metric_events; create table revenue.events (id int)")
        partition_creation()
        assert callboard_run.notes["skipped_tables"] == ["events", "metric_events"]
        assert len(callboard_run.notes["created"]) == 3

    @pytest.mark.usefixtures("revenue")
    def test_making_one_keeps_nobody_from_writing(self) -> None:
        """Where `create table ... partition of` would wait for the writer, and everybody else behind it."""
        create([MONTH], wait_seconds=1)
        app = add_app()
        with transaction() as writer:
            writer.execute(
                text("insert into revenue.events (timestamp, app_id, message) values (:at, :app, 'x')"),
                {"at": MONTH.begin, "app": app},
            )
            assert create([MONTH.later(1)], wait_seconds=0.2).created == [
                f"{table}_{MONTH.later(1)}" for table in EVENT_TABLES
            ]

    @pytest.mark.usefixtures("revenue")
    def test_two_at_once_make_each_once(self) -> None:
        told: list[list[str]] = []
        threads = [threading.Thread(target=lambda: told.append(create(NEXT, wait_seconds=5).created)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(sum(told, [])) == sorted(f"{table}_{month}" for table in EVENT_TABLES for month in NEXT)  # noqa: RUF017 - three lists

    @pytest.mark.usefixtures("revenue")
    def test_whoever_holds_the_lock_is_waited_for_no_longer_than_allowed(self) -> None:
        with transaction() as pruner:
            hold_partitions(pruner, 1)
            with pytest.raises(OperationalError, match="lock timeout"):
                create([MONTH], wait_seconds=0.05)


class TestMonth:
    @given(st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - hypothesis wants them without
    def test_every_moment_is_in_its_month_and_in_no_other(self, moment: datetime, minutes: int) -> None:
        """Whatever zone the moment is told in."""
        at = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        month = Month.of(at)
        assert month.begin <= at < month.later(1).begin
        assert month.later(12) == Month(month.year + 1, month.month)
        assert month_of("events", f"events_{month}") == month

    def test_a_clock_set_back_an_hour_at_the_end_of_a_month(self) -> None:
        before, after = datetime(2026, 12, 1, 0, 30, tzinfo=UTC), datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
        assert (Month.of(before), Month.of(after)) == (Month(2026, 12), Month(2026, 11))

    def test_february_of_leap_years(self) -> None:
        assert (Month(2028, 2).later(1).begin - Month(2028, 2).begin).days == 29
        assert (Month(2100, 2).later(1).begin - Month(2100, 2).begin).days == 28

    @pytest.mark.parametrize(
        "name", ["events", "events_default", "events_2026_13", "events_2026_00", "events_26_01", "xevents_2026_01",
                 "metric_events_2026_01", "events_2026_01_old"],
    )  # fmt: skip
    def test_other_names_tell_of_no_month(self, name: str) -> None:
        assert month_of("events", name) is None
