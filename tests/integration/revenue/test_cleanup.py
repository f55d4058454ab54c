from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from actors.revenue import cleanup
from actors.revenue.cleanup import soft_delete_cleanup
from actors.revenue.event_tables import EVENT_TABLES
from actors.revenue.settings import get_revenue_settings
from callboard import Run, transaction
from callboard.run import enter_run
from tests.integration.revenue.kit import (
    EXPIRED,
    MONTH,
    NOW,
    RECENT,
    add,
    add_app,
    add_events,
    add_partitions,
    execute,
    one,
    rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import Connection

pytestmark = pytest.mark.usefixtures("revenue")
NAMES = (
    *("teams", "projects", "apps", "apiKeys", "metricDefinitions", "funnelDefinitions", "events", "metricEvents"),
    *("funnelEvents", "auditLogs", "teamMembers", "teamInvitations", "integrations", "appUsers"),
)
TABLES = (
    *("teams", "projects", "apps", "api_keys", "metric_definitions", "funnel_definitions", "integrations"),
    *("app_users", *EVENT_TABLES, "audit_logs", "team_members", "team_invitations"),
)


@pytest.fixture(autouse=True)
def _partitions(revenue: None) -> None:  # noqa: ARG001 - in its database
    add_partitions([MONTH.later(-1), MONTH])


def clean() -> Run:
    run = Run(job="soft_delete_cleanup")
    enter_run(run)
    try:
        soft_delete_cleanup()
    finally:
        enter_run(None)
    return run


def add_all(**team: object) -> dict[str, UUID]:
    """A team with one of everything."""
    made = {"team": add("teams", name="Team", **team)}
    made["project"] = add("projects", team_id=made["team"], name="Project")
    made["app"] = add_app(made["project"])
    add("api_keys", team_id=made["team"], app_id=made["app"], name="k", key_hash=str(uuid4()))
    add("api_keys", team_id=made["team"], name="k", key_hash=str(uuid4()))
    add("metric_definitions", project_id=made["project"], slug="m")
    add("funnel_definitions", project_id=made["project"], slug="f")
    add("integrations", project_id=made["project"], provider="revenuecat", api_key=b"sealed")
    add("app_users", project_id=made["project"], user_id="u")
    add("team_invitations", team_id=made["team"], email="x@example.org")
    execute(
        "insert into revenue.team_members (team_id, user_id, role) values (:t, gen_random_uuid(), 'admin')",
        t=made["team"],
    )
    execute("insert into revenue.audit_logs (team_id, action) values (:t, 'made')", t=made["team"])
    for number, table in enumerate(EVENT_TABLES, start=2):
        add_events(made["app"], number, at=MONTH.begin - timedelta(seconds=1), table=table)
    return made


def left() -> dict[str, int]:
    return {table: one(f"select count(*) from revenue.{table}") for table in TABLES}


def mark(table: str, row: UUID, at: object) -> None:
    execute(f"update revenue.{table} set deleted_at = :at where id = :id", at=at, id=row)


def deletions() -> list[tuple[Any, ...]]:
    return [
        tuple(row)
        for row in rows(
            "select project_id, table_name, deleted_count from revenue.event_deletions order by project_id, table_name"
        )
    ]


def test_nothing_due_is_silent() -> None:
    made = add_all()
    mark("teams", made["team"], RECENT)
    before = left()
    run = clean()
    assert list(run.counts.items()) == [(name, 0) for name in NAMES]
    assert run.is_quiet
    assert left() == before


def test_a_team_goes_with_all_that_was_its_own_and_others_stay() -> None:
    made, other = add_all(), add_all()
    before = left()
    mark("teams", made["team"], EXPIRED)

    run = clean()

    assert run.counts == {
        **dict.fromkeys(NAMES, 1),
        "apiKeys": 2,
        "events": 2,
        "metricEvents": 3,
        "funnelEvents": 4,
    }
    assert left() == {table: count // 2 for table, count in before.items()}
    assert one("select id from revenue.teams") == other["team"]
    assert clean().is_quiet


def test_children_are_stamped_with_their_parents_time_so_that_no_event_is_orphaned() -> None:
    """The original stamped them with the present, and did not see the app as due before the foreign key took it."""
    made = add_all()
    mark("projects", made["project"], EXPIRED)
    clean()
    assert one("select count(*) from revenue.events") == 0
    assert one("select count(*) from revenue.apps") == 0
    assert one("select count(*) from revenue.teams") == 1


def test_a_child_that_was_marked_later_goes_with_its_parent() -> None:
    made = add_all()
    mark("teams", made["team"], EXPIRED)
    mark("projects", made["project"], RECENT)
    mark("apps", made["app"], NOW)
    clean()
    assert set(left().values()) == {0}


def test_a_child_that_was_marked_before_keeps_its_time() -> None:
    made = add_all()
    execute("update revenue.teams set deleted_at = :at", at=NOW - timedelta(days=6))
    mark("apps", made["app"], EXPIRED)
    run = clean()
    assert (run.counts["apps"], run.counts["projects"], run.counts["apiKeys"]) == (1, 0, 1)


def test_deletions_are_counted_for_each_project_alone() -> None:
    """The original wrote the total of all projects into the row of each."""
    first, second = add_all(), add_all()
    add_events(second["app"], 10, at=MONTH.begin)
    for made in (first, second):
        mark("apps", made["app"], EXPIRED)

    run = clean()

    assert deletions() == sorted(
        (made["project"], table, count)
        for made, counts in ((first, (2, 3, 4)), (second, (12, 3, 4)))
        for table, count in zip(EVENT_TABLES, counts, strict=True)
    )
    assert run.counts["events"] == 14
    assert {row[0] for row in rows("select reason from revenue.event_deletions")} == {"soft_delete_cleanup"}


def test_a_later_deletion_has_a_row_of_its_own() -> None:
    made = add_all()
    mark("apps", made["app"], EXPIRED)
    clean()
    execute("update revenue.event_deletions set cutoff_date = cutoff_date - interval '2 days'")
    second = add_app(made["project"], deleted_at=EXPIRED)
    add_events(second, 5, at=MONTH.begin)
    clean()
    assert [row[2] for row in deletions() if row[1] == "events"] == [2, 5]


def test_events_go_in_batches_also_from_the_default_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_REVENUE_SOFT_DELETE_BATCH", "7")
    get_revenue_settings.cache_clear()
    execute("create table revenue.events_default partition of revenue.events default")
    app, other = add_app(deleted_at=EXPIRED), add_app()
    for at in (MONTH.begin, MONTH.later(7).begin):
        add_events(app, 40, at=at)
        add_events(other, 1, at=at)
    run = clean()
    assert run.counts["events"] == 80
    assert [row[2] for row in deletions()] == [80]
    assert {row[0] for row in rows("select app_id from revenue.events")} == {other}


def test_an_app_that_still_gets_events_stays_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = add_all()
    mark("teams", made["team"], EXPIRED)
    delete_events = cleanup._Cleanup._delete_events

    def and_one_more(self: cleanup._Cleanup) -> None:
        delete_events(self)
        add_events(made["app"], 1, at=MONTH.begin)

    with monkeypatch.context() as patched:
        patched.setattr(cleanup._Cleanup, "_delete_events", and_one_more)
        clean()
    assert [one(f"select count(*) from revenue.{table}") for table in ("teams", "projects", "apps")] == [1, 1, 1]
    clean()
    assert set(left().values()) == {0}
    assert [row[2] for row in deletions() if row[1] == "events"] == [3]


class _Killed(BaseException):
    """As SIGKILL would, between two transactions."""


@pytest.mark.parametrize("after", [0, 1, 2, 5, 9, 14, 20, 24, 30])
def test_a_run_that_is_killed_is_gone_on_with_and_ends_as_one_that_was_not(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that tell of the deletions too: the count of a project is neither lost nor doubled."""
    monkeypatch.setenv("CALLBOARD_REVENUE_SOFT_DELETE_BATCH", "1")
    get_revenue_settings.cache_clear()
    made, other = add_all(), add_all()
    mark("teams", made["team"], EXPIRED)
    mark("apps", other["app"], EXPIRED)
    done = 0

    def counted() -> Iterator[Connection]:
        nonlocal done
        if done == after:
            raise _Killed
        done += 1
        return transaction()  # type: ignore[return-value] # the context manager itself

    monkeypatch.setattr(cleanup, "transaction", counted)
    with pytest.raises(_Killed):
        clean()
    monkeypatch.setattr(cleanup, "transaction", transaction)
    clean()

    assert deletions() == sorted(
        (project, table, count)
        for project in (made["project"], other["project"])
        for table, count in zip(EVENT_TABLES, (2, 3, 4), strict=True)
    )
    assert left() == {name: int(name in _OF_OTHER) for name in TABLES}


_OF_OTHER = set(TABLES) - {"apps", *EVENT_TABLES}
