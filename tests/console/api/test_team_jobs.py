"""What the people of a team do: trigger, follow and cancel runs of their projects, and nothing of anybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from callboard.operations import Who, runs
from tests.console.api.caller import Api, Team, add_team, ok
from tests.console.kit import add_user
from tests.support import eventually

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.board import Board

TRIGGER = "/v1/teams/ours/jobs/trigger"


@pytest.fixture
def owner() -> UUID:
    return add_user(None, "owner@example.org")


@pytest.fixture
def ours(board: Board, owner: UUID) -> Team:  # noqa: ARG001 - in its ledger
    return add_team("ours", owner=owner)


@pytest.fixture
def theirs(board: Board) -> Team:  # noqa: ARG001 - in its ledger
    return add_team("theirs", owner=add_user(None))


def _asked(team: Team, **more: object) -> dict[str, object]:
    return {"job_type": "sync_project", "project_id": team.project, **more}


def _error(answer: httpx.Response, status: int) -> str:
    return str(ok(answer, status)["error"])


def test_a_run_is_triggered_followed_and_told_of(api: Api, board: Board, owner: UUID, ours: Team) -> None:
    page = api.signed_in(owner)

    made = ok(page.post(TRIGGER, json=_asked(ours, params={"pages": 3}, notify=True)), 201)["job_run"]

    assert made["status"] == "pending"
    assert made["params"] == {"pages": 3}
    assert made["triggered_by"] == f"manual:user:{owner}"
    assert made["notify"] is True
    assert (made["progress"], made["result"], made["error"], made["started_at"]) == (None, None, None, None)
    assert board.one("select notify from board.runs") == ["owner@example.org"]
    with board.worker():
        over = eventually(lambda: _if_over(ok(page.get(f"/v1/jobs/{made['id']}"))))
    assert over["status"] == "completed"
    assert over["progress"] == {"processed": 3, "total": 3, "message": "done"}
    assert over["result"] == {"counts": {"pages": 3}, "notes": {"status": "fresh"}}
    assert over["created_at"] <= over["started_at"] <= over["completed_at"]
    assert over["completed_at"].endswith("Z")


def _if_over(run: dict[str, object]) -> dict[str, object] | None:
    return run if run["status"] not in ("pending", "running") else None


def test_a_key_tells_its_owner_and_is_the_trigger(api: Api, board: Board, owner: UUID, ours: Team) -> None:
    program = api.with_key(owner, "jobs:read", "jobs:write", team_id=ours.id)

    made = ok(program.post(f"/v1/teams/{ours.id}/jobs/trigger", json=_asked(ours, notify=True)), 201)["job_run"]

    assert made["triggered_by"] == f"manual:api_key:{board.one('select id from board.api_keys')}"
    assert board.one("select notify from board.runs") == ["owner@example.org"]
    assert board.query("select who, action, team_id, ip from board.audit where action = 'run.trigger'") == [
        (made["triggered_by"], "run.trigger", ours.id, "127.0.0.1")
    ]


def test_a_second_run_of_a_project_is_refused_with_the_first_ones_id(
    api: Api, owner: UUID, ours: Team, theirs: Team
) -> None:
    page = api.signed_in(owner)
    first = ok(page.post(TRIGGER, json=_asked(ours)), 201)["job_run"]

    assert ok(page.post(TRIGGER, json=_asked(ours)), 409) == {
        "error": "A job of this type is already running or pending",
        "existing_run_id": first["id"],
    }
    board_admin = api.signed_in()
    ok(board_admin.post("/v1/teams/theirs/jobs/trigger", json=_asked(theirs)), 201)  # another project is not in its way
    ok(page.post(f"/v1/jobs/{first['id']}/cancel"))
    ok(page.post(TRIGGER, json=_asked(ours)), 201)


def test_what_cannot_be_triggered_is_refused_with_the_reason(api: Api, owner: UUID, ours: Team, theirs: Team) -> None:
    page = api.signed_in(owner)

    assert "Unknown job type 'nonsense'" in _error(page.post(TRIGGER, json=_asked(ours, job_type="nonsense")), 400)
    assert "is a system job" in _error(page.post(TRIGGER, json=_asked(ours, job_type="load")), 400)
    assert "project_id is missing" in _error(page.post(TRIGGER, json={"job_type": "sync_project"}), 400)
    assert "no project" in _error(page.post(TRIGGER, json=_asked(theirs)), 404)
    assert "beside params" in _error(page.post(TRIGGER, json=_asked(ours, params={"project_id": theirs.project})), 400)
    assert "colour" in _error(page.post(TRIGGER, json=_asked(ours, params={"colour": "red"})), 400)
    assert ok(page.post(TRIGGER, json=_asked(ours, job_typ="x")), 422)["field"] == "job_typ"


def test_who_is_not_of_the_team_or_below_its_admins_triggers_nothing(api: Api, ours: Team, owner: UUID) -> None:
    member, stranger = add_user(None), add_user(None)
    ok(api.signed_in(owner).post("/v1/teams/ours/members", json={"email": _mail(member), "role": "member"}), 201)

    assert "needs the team role owner or admin" in _error(api.signed_in(member).post(TRIGGER, json=_asked(ours)), 403)
    told = [
        _error(api.signed_in(stranger).post(f"/v1/teams/{name}/jobs/trigger", json=_asked(ours)), 403)
        for name in ("ours", "never-was")
    ]
    assert told[0].replace("ours", "") == told[1].replace("never-was", "")  # nobody learns which teams there are
    reader = api.with_key(owner, "jobs:read", team_id=ours.id)
    assert "lacks the scope jobs:write" in _error(reader.post(TRIGGER, json=_asked(ours)), 403)


def _mail(user_id: UUID) -> str:
    return f"{user_id.hex}@example.org"


def test_a_job_may_ask_for_a_scope_of_its_own(api: Api, ours: Team, owner: UUID) -> None:
    asked = _asked(ours, job_type="bill_project")

    few = api.with_key(owner, "jobs:read", "jobs:write", team_id=ours.id)
    assert "asks for the scope accounts:write" in _error(few.post(TRIGGER, json=asked), 403)
    enough = api.with_key(owner, "jobs:write", "accounts:write", team_id=ours.id)
    ok(enough.post(TRIGGER, json=asked), 201)


def test_runs_of_the_system_and_of_others_are_not_there(api: Api, ours: Team, theirs: Team, owner: UUID) -> None:
    system = runs.trigger("load", {}, who=Who("test"))
    other = runs.trigger("sync_project", {"project_id": theirs.project}, who=Who("test"))
    mine = runs.trigger("sync_project", {"project_id": ours.project}, who=Who("test"))
    page = api.signed_in(owner)

    for unseen in (system.id, other.id, uuid4()):
        assert "No job run has the id" in _error(page.get(f"/v1/jobs/{unseen}"), 404)
        assert "No job run has the id" in _error(page.post(f"/v1/jobs/{unseen}/cancel"), 404)
    assert [one["id"] for one in ok(page.get("/v1/teams/ours/jobs"))["job_runs"]] == [str(mine.id)]
    ok(page.get("/v1/teams/theirs/jobs"), 404)
    ok(api.signed_in().get(f"/v1/jobs/{system.id}"), 404)  # whoever works the board has /v1/runs
    assert ok(api.signed_in().get(f"/v1/runs/{system.id}"))["job"] == "load"


def test_cancelling_answers_for_each_state(api: Api, board: Board, ours: Team, owner: UUID) -> None:
    page = api.signed_in(owner)
    run_id = ok(page.post(TRIGGER, json=_asked(ours)), 201)["job_run"]["id"]

    assert ok(page.post(f"/v1/jobs/{run_id}/cancel")) == {"cancelled": True}
    assert ok(page.get(f"/v1/jobs/{run_id}"))["status"] == "cancelled"
    told = _error(page.post(f"/v1/jobs/{run_id}/cancel"), 400)
    assert told == "Cannot cancel a job with status cancelled"
    board.execute("update board.runs set state = 'running', cancel_requested_at = null")
    assert ok(page.post(f"/v1/jobs/{run_id}/cancel")) == {"cancelled": True}
    assert board.one("select cancel_requested_by from board.runs") == f"manual:user:{owner}"


def test_a_list_is_filtered_and_read_page_by_page(api: Api, board: Board, ours: Team, owner: UUID) -> None:
    page = api.signed_in(owner)
    for _ in range(5):
        made = runs.trigger("sync_project", {"project_id": ours.project}, who=Who("test"))
        runs.cancel(made.id, who=Who("test"))
    runs.trigger("bill_project", {"project_id": ours.project}, who=Who("test"))
    board.execute("update board.runs set created_at = created_at - interval '3 days' where job = 'bill_project'")

    def ids(**asked: object) -> list[str]:
        found: list[str] = []
        while True:
            told = ok(page.get("/v1/teams/ours/jobs", params={"limit": 2, **asked}))
            found += [one["id"] for one in told["job_runs"]]
            assert told["has_more"] == (told["cursor"] is not None)
            if not told["has_more"]:
                return found
            asked["cursor"] = told["cursor"]

    assert len(ids()) == len(set(ids())) == 6
    assert len(ids(job_type="bill_project")) == len(ids(status="pending")) == len(ids(until="1d")) == 1
    assert len(ids(since="1h")) == len(ids(filter="state:cancelled")) == len(ids(status="cancelled")) == 5
    assert ids(since="2020-01-01T00:00:00Z", until="2020-02-01T00:00:00Z") == ids(project_id=str(uuid4())) == []
    assert "never" in _error(page.get("/v1/teams/ours/jobs", params={"since": "never"}), 400)
    ok(page.get("/v1/teams/ours/jobs", params={"limit": 201}), 422)
    ok(page.get("/v1/teams/ours/jobs", params={"cursor": "nonsense"}), 400)
