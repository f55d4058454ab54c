"""`process_scheduled_syncs`: who is due, who waits, and jobs that lost their run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import update

from actors.memory.settings import get_memory_settings
from actors.memory.syncs import discovery, process_scheduled_syncs, request_sync, run_sync_job
from actors.memory.syncs.discovery import discover
from actors.memory.tables import connections
from callboard import NotFound, Run, transaction
from callboard.cancel import cancel
from sandbox.github import GitHubStandIn
from tests.integration.memory.kit import NOW, add_tenant, rows_of, value_of
from tests.integration.memory.syncing import add_connection, add_job, connection_row, job_row, set_tenant
from tests.support import eventually

if TYPE_CHECKING:
    from tests.board import Board

pytestmark = pytest.mark.usefixtures("syncs_board")


def discovered(now: datetime = NOW) -> Run:
    run = Run(job="process_scheduled_syncs")
    discover(run, get_memory_settings(), now)
    return run


def due_since(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_a_due_connection_gets_a_job_with_the_cursor_of_its_last_success() -> None:
    made = add_connection(next_scheduled_sync=due_since(2), cursor='{"since":"x"}')
    fresh = add_connection(next_scheduled_sync=due_since(1))
    add_connection(next_scheduled_sync=NOW + timedelta(seconds=1))
    run = discovered()
    assert run.counts == {"due": 2, "dispatched": 2, "skipped_in_flight": 0, "deferred_cap": 0}
    jobs = {row["connection_id"]: row for row in rows_of("select * from memory.sync_jobs")}
    assert (jobs[made]["type"], jobs[made]["cursor"], jobs[made]["status"]) == (
        "INCREMENTAL",
        '{"since":"x"}',
        "PENDING",
    )
    assert (jobs[fresh]["type"], jobs[fresh]["cursor"]) == ("FULL", None)
    assert jobs[made]["scheduled_for"] == due_since(2)
    sent = rows_of("select args from board.runs where job = 'run_sync_job'")
    assert {row["args"]["sync_job_id"] for row in sent} == {str(job["id"]) for job in jobs.values()}
    assert not run.is_quiet


def test_nothing_due_is_quiet() -> None:
    run = discovered()
    assert run.is_quiet
    assert run.counts == {"due": 0, "dispatched": 0, "skipped_in_flight": 0, "deferred_cap": 0}


def test_the_next_time_is_counted_from_the_scheduled_one() -> None:
    made = add_connection(frequency="HOURLY", next_scheduled_sync=due_since(7))
    discovered()
    assert connection_row(made)["next_scheduled_sync"] == NOW + timedelta(minutes=53)


def test_after_long_downtime_one_sync_is_made_and_not_one_for_each_that_was_missed() -> None:
    made = add_connection(frequency="REALTIME", next_scheduled_sync=NOW - timedelta(days=90))
    discovered()
    assert value_of("select count(*) from memory.sync_jobs") == 1
    assert connection_row(made)["next_scheduled_sync"] > NOW
    assert discovered().counts["due"] == 0


def test_a_manual_connection_is_due_once() -> None:
    made = add_connection(frequency="MANUAL", next_scheduled_sync=due_since(1))
    assert discovered().counts["dispatched"] == 1
    assert connection_row(made)["next_scheduled_sync"] is None


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_connection_whose_sync_is_under_way_stays_due(status: str) -> None:
    made = add_connection(next_scheduled_sync=due_since(2))
    job = add_job(made, status=status)
    assert discovered().counts == {"due": 1, "dispatched": 0, "skipped_in_flight": 1, "deferred_cap": 0}
    assert connection_row(made)["next_scheduled_sync"] == due_since(2)
    with transaction() as connection:
        connection.exec_driver_sql("update memory.sync_jobs set status = 'COMPLETED' where id = %s", (job,))
    assert discovered().counts["dispatched"] == 1


def test_a_tenant_has_three_syncs_in_flight_and_the_others_wait_without_holding_up_anybody() -> None:
    tenant, other = add_tenant(), add_tenant()
    for minute in range(5):
        add_connection(tenant=tenant, next_scheduled_sync=due_since(10 - minute))
    add_connection(tenant=other, next_scheduled_sync=due_since(1))
    assert discovered().counts == {"due": 6, "dispatched": 4, "skipped_in_flight": 0, "deferred_cap": 2}
    waiting = rows_of(
        "select next_scheduled_sync as at from memory.connections where next_scheduled_sync <= :now", now=NOW
    )
    assert {row["at"] for row in waiting} == {due_since(7), due_since(6)}, "the longest due go first"


@pytest.mark.parametrize("columns", [{"status": "needs_reauth"}, {"status": "disabled"}, {"next_scheduled_sync": None}])
def test_who_is_not_due(columns: dict[str, object]) -> None:
    made = add_connection(next_scheduled_sync=due_since(1))
    with transaction() as connection:
        connection.execute(update(connections).where(connections.c.id == made), columns)
    assert discovered().counts["due"] == 0


def test_an_empty_or_deleted_tenant_is_nobodys_trouble() -> None:
    add_tenant()
    tenant = add_tenant()
    add_connection(tenant=tenant, next_scheduled_sync=due_since(1))
    set_tenant(tenant, deleted_at=NOW)
    assert discovered().counts["due"] == 0


def test_dst_a_daily_sync_takes_place_at_the_tenants_time_of_day_all_year() -> None:
    """Over the night of 29 March 2026 in Berlin, where 02:30 does not exist."""
    tenant = add_tenant()
    set_tenant(tenant, timezone="Europe/Berlin")
    first = datetime.fromisoformat("2026-03-28T01:30+00:00")
    made = add_connection(tenant=tenant, frequency="DAILY", next_scheduled_sync=first)
    seen = []
    for _ in range(4):
        due = connection_row(made)["next_scheduled_sync"]
        seen.append(due.isoformat()[5:16])
        assert discovered(due + timedelta(minutes=3)).counts["dispatched"] == 1
        with transaction() as connection:
            connection.exec_driver_sql("update memory.sync_jobs set status = 'COMPLETED'")
    assert seen == ["03-28T01:30", "03-29T01:30", "03-30T00:30", "03-31T00:30"]


def test_a_time_zone_that_nobody_knows_is_utc_and_stops_nobody() -> None:
    tenant = add_tenant()
    set_tenant(tenant, timezone="Mars/Olympus")
    made = add_connection(tenant=tenant, frequency="DAILY", next_scheduled_sync=due_since(1))
    assert discovered().counts["dispatched"] == 1
    assert connection_row(made)["next_scheduled_sync"] == due_since(1) + timedelta(days=1)


def test_the_clock_set_back_an_hour_dispatches_nothing_twice() -> None:
    made = add_connection(frequency="HOURLY", next_scheduled_sync=due_since(1))
    discovered()
    due = connection_row(made)["next_scheduled_sync"]
    assert discovered(NOW - timedelta(hours=1)).counts["due"] == 0
    assert connection_row(made)["next_scheduled_sync"] == due


def test_two_discoveries_at_once_dispatch_every_connection_once() -> None:
    for _ in range(6):
        add_connection(next_scheduled_sync=due_since(1))
    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(lambda _: discovered(), range(2)))
    assert sum(run.counts["dispatched"] for run in runs) == 6
    assert value_of("select count(*) from memory.sync_jobs") == 6


def test_more_connections_than_a_batch_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_BATCH", 3)
    for number in range(8):  # some of one time: the id tells them apart
        add_connection(next_scheduled_sync=due_since(number % 3))
    assert discovered().counts == {"due": 8, "dispatched": 8, "skipped_in_flight": 0, "deferred_cap": 0}


class TestLostRuns:
    later = NOW + timedelta(minutes=1)

    def test_a_job_that_was_cut_off_for_good_gets_another_run(self) -> None:
        job = add_job(add_connection(), status="RUNNING", attempts=1)
        assert not discovered(self.later).is_quiet
        assert job_row(job)["status"] == "RUNNING"
        assert value_of("select count(*) from board.runs where job = 'run_sync_job'") == 1
        discovered(self.later)
        assert value_of("select count(*) from board.runs where job = 'run_sync_job'") == 1, "it has a run now"

    def test_a_pending_job_whose_run_was_cancelled_is_over(self) -> None:
        made = add_connection(next_scheduled_sync=self.later)
        job = add_job(made)
        run = discovered(self.later)
        assert job_row(job)["status"] == "CANCELLED"
        assert "no run is left" in job_row(job)["error"]
        assert run.counts["dispatched"] == 1, "the connection is free again"

    def test_a_cancelled_one_frees_its_connection_at_once(self) -> None:
        made = add_connection(next_scheduled_sync=due_since(1))
        assert discovered().counts["dispatched"] == 1
        (run,) = rows_of("select id from board.runs where job = 'run_sync_job'")
        assert cancel(run["id"], by="anna") == "cancelled"
        with transaction() as connection:
            job = request_sync(connection, made, now=NOW)
        told = rows_of("select id, status from memory.sync_jobs order by status")
        assert [(row["status"], row["id"] == job) for row in told] == [("CANCELLED", False), ("PENDING", True)]
        soon = NOW + timedelta(seconds=1)
        assert discovered(soon).is_quiet, "the new one has its run"
        (run,) = rows_of("select id from board.runs where scope = :job and state = 'pending'", job=str(job))
        cancel(run["id"], by="anna")
        assert not discovered(soon).is_quiet
        assert job_row(job)["status"] == "CANCELLED", "at the next tick, whether anybody asks or not"

    def test_a_job_that_has_its_run_is_left_alone(self) -> None:
        with transaction() as connection:
            job = request_sync(connection, add_connection(), now=NOW)
        assert discovered(self.later).is_quiet
        assert job_row(job)["status"] == "PENDING"


class TestRequests:
    def test_a_sync_may_be_asked_for(self) -> None:
        made = add_connection(cursor='{"since":"x"}')
        with transaction() as connection:
            job = request_sync(connection, made, idempotency_key="k1", now=NOW)
        row = job_row(job)
        assert (row["type"], row["cursor"], row["scheduled_for"]) == ("INCREMENTAL", '{"since":"x"}', None)
        with transaction() as connection:
            assert request_sync(connection, made, idempotency_key="k1", now=NOW) == job
            assert request_sync(connection, made, now=NOW) == job, "one is under way"
        assert value_of("select count(*) from board.runs where job = 'run_sync_job'") == 1

    def test_a_full_one_begins_without_a_cursor(self) -> None:
        made = add_connection(cursor='{"since":"x"}')
        with transaction() as connection:
            job = request_sync(connection, made, type="FULL", now=NOW)
        assert (job_row(job)["type"], job_row(job)["cursor"]) == ("FULL", None)

    def test_a_connection_that_is_not_there(self) -> None:
        with transaction() as connection, pytest.raises(NotFound):
            request_sync(connection, uuid4(), now=NOW)


def test_the_whole_way_on_a_worker(syncs_board: Board, github: GitHubStandIn) -> None:
    github.put("1", "Title", "Text of the issue.")
    made = add_connection(next_scheduled_sync=due_since(1))
    with syncs_board.worker():
        process_scheduled_syncs.send()
        eventually(lambda: value_of("select count(*) from memory.sync_jobs where status = 'COMPLETED'") == 1, 20)
    assert connection_row(made)["cursor"] is not None
    (row,) = rows_of("select state, counts from board.runs where job = 'run_sync_job'")
    assert (row["state"], row["counts"]["total_items"], row["counts"]["candidates"]) == ("completed", 1, 1)
    assert run_sync_job.spec.is_durable
