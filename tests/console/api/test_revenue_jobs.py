"""A team's RevenueCat sync by the API and from the command line; the system's own jobs are not theirs to see."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from actors.revenue import cleanup, partitions, pruning, sync
from actors.revenue.clients import revenuecat as client
from actors.revenue.settings import get_revenue_settings
from actors.revenue.users import connect
from callboard import transaction
from callboard.operations import Who, runs
from cli import execute
from sandbox.revenuecat import PROJECT, RevenueCatStandIn
from sandbox.revenuecat_objects import subscription
from tests.board import Board, open_board
from tests.console.api.caller import Api, Team, add_team, ok
from tests.console.kit import add_user
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGGER = "/v1/teams/ours/jobs/trigger"
SYSTEM = (sync.revenuecat_sync_all, pruning.db_pruning, cleanup.soft_delete_cleanup, partitions.partition_creation)
USERS = [f"user-{number:03}" for number in range(45)]


@pytest.fixture
def revenuecat() -> Iterator[RevenueCatStandIn]:
    with RevenueCatStandIn(most_a_minute=1_000_000) as stand_in:
        for name in USERS[:38]:
            stand_in.add_customer(name, entitlements=["entla1b2c3d4e5"], subscriptions=[subscription()])
        yield stand_in


@pytest.fixture
def board(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str, revenuecat: RevenueCatStandIn
) -> Iterator[Board]:
    """A board whose broker has the catalogue's jobs."""
    monkeypatch.setenv("CALLBOARD_SECRET_KEYS", base64.b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("CALLBOARD_REVENUE_REVENUECAT_URL", f"{revenuecat.url}/v2")
    monkeypatch.setenv("CALLBOARD_REVENUE_REVENUECAT_PAUSE_SECONDS", "0")
    get_revenue_settings.cache_clear()
    client._remembered.clear()
    jobs = (sync.revenuecat_sync, *SYSTEM)
    before = [job.broker for job in jobs]
    with open_board(monkeypatch, postgres_url, broker_url, actors="actors.revenue") as opened:
        for job in jobs:
            job.broker = opened.broker
            opened.broker.declare_actor(job)
        yield opened
    for job, broker in zip(jobs, before, strict=True):
        job.broker = broker
    get_revenue_settings.cache_clear()


@pytest.fixture
def owner() -> UUID:
    return add_user(None, "owner@example.org")


@pytest.fixture
def ours(board: Board, owner: UUID) -> Team:  # noqa: ARG001 - in its ledger
    """A team with a project, which has the same id among those that are synced."""
    team = add_team("ours", owner=owner)
    with transaction() as connection:
        connection.execute(text("insert into revenue.teams (id, name) values (:id, 'Ours')"), {"id": team.id})
        given = {"id": team.project, "team": team.id, "users": USERS}
        connection.execute(text("insert into revenue.projects (id, team_id, name) values (:id, :team, 'P')"), given)
        connect(connection, UUID(team.project), "sk_sandbox")
        connection.execute(
            text("insert into revenue.app_users (project_id, user_id) select :id, unnest(cast(:users as text[]))"),
            given,
        )
    return team


def _asked(team: Team, **more: object) -> dict[str, object]:
    return {"job_type": "revenuecat_sync", "project_id": team.project, **more}


def test_a_sync_is_triggered_followed_and_told_of(api: Api, board: Board, owner: UUID, ours: Team) -> None:
    page = api.signed_in(owner)

    made = ok(page.post(TRIGGER, json=_asked(ours, notify=True)), 201)["job_run"]
    again = ok(page.post(TRIGGER, json=_asked(ours)), 409)

    assert again == {"error": "A job of this type is already running or pending", "existing_run_id": made["id"]}
    assert board.one("select notify from board.runs") == ["owner@example.org"]
    with board.worker():
        over = _over(page, made["id"])
    assert over["status"] == "completed"
    assert over["progress"] == {"processed": 45, "total": 45, "message": "Synced 38 users, 7 skipped"}
    assert (over["result"]["counts"]["synced"], over["result"]["counts"]["skipped"]) == (38, 7)
    ok(page.post(TRIGGER, json=_asked(ours)), 201)


def _over(page: Any, run_id: str) -> dict[str, Any]:  # noqa: ANN401 - httpx.Client
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = ok(page.get(f"/v1/jobs/{run_id}"))
        return run if run["status"] not in ("pending", "running") else None

    return eventually(look, 20)


def test_a_running_sync_is_cancelled(
    api: Api, board: Board, owner: UUID, ours: Team, revenuecat: RevenueCatStandIn
) -> None:
    page = api.signed_in(owner)
    stuck = f"/v2/projects/{PROJECT}/customers/{USERS[3]}/active_entitlements"
    revenuecat.fail(path=stuck, delay=2)
    run_id = ok(page.post(TRIGGER, json=_asked(ours)), 201)["job_run"]["id"]

    with board.worker():
        eventually(lambda: any(asked.startswith(stuck) for asked, _ in revenuecat.requests))
        assert ok(page.post(f"/v1/jobs/{run_id}/cancel")) == {"cancelled": True}
        over = _over(page, run_id)

    assert over["status"] == "cancelled"
    assert over["progress"] == {"processed": 4, "total": 45, "message": "Synced 4 users, 0 skipped"}
    assert over["result"]["notes"]["cancelled_at"] == 4


def test_a_refused_key_fails_the_run_and_says_why(
    api: Api, board: Board, owner: UUID, ours: Team, revenuecat: RevenueCatStandIn
) -> None:
    page = api.signed_in(owner)
    revenuecat.key = "sk_renewed"
    run_id = ok(page.post(TRIGGER, json=_asked(ours)), 201)["job_run"]["id"]

    with board.worker():
        over = _over(page, run_id)

    assert over["status"] == "failed"
    assert "answered 401" in over["error"]
    assert over["result"]["notes"]["aborted"] is True
    assert board.one("select error_kind from board.runs") == "authentication"


def test_the_systems_jobs_are_not_the_teams(api: Api, owner: UUID, ours: Team) -> None:
    page = api.signed_in(owner)
    for job in SYSTEM:
        told = ok(page.post(TRIGGER, json=_asked(ours, job_type=job.actor_name)), 400)
        assert "is a system job" in told["error"]
        run = runs.trigger(job.actor_name, {}, who=Who("test"))
        ok(page.get(f"/v1/jobs/{run.id}"), 404)
    assert ok(page.get("/v1/teams/ours/jobs"))["job_runs"] == []


def test_the_command_line_waits_for_it(board: Board, ours: Team, capsys: pytest.CaptureFixture[str]) -> None:
    with board.worker():
        code = execute(["trigger", "revenuecat_sync", "--arg", f"project_id={ours.project}", "--wait"])
    assert code == 0
    assert "completed" in (said := capsys.readouterr().out)
    assert "total=45 synced=38 skipped=7" in said
    assert board.one("select progress->>'message' from board.runs") == "Synced 38 users, 7 skipped"
