"""People, teams, projects and keys by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from callboard.accounts import sign_in
from tests.console.api.caller import Api, Team, add_team, key_headers, ok
from tests.console.kit import add_user

if TYPE_CHECKING:
    import httpx

    from tests.board import Board


@pytest.fixture
def owner() -> UUID:
    return add_user(None, "owner@example.org")


@pytest.fixture
def ours(board: Board, owner: UUID) -> Team:  # noqa: ARG001 - in its ledger
    return add_team("ours", owner=owner)


@pytest.fixture
def admin(api: Api) -> httpx.Client:
    return api.signed_in()


def test_everybody_learns_who_they_are(api: Api, owner: UUID, ours: Team) -> None:
    me = ok(api.signed_in(owner).get("/v1/me"))
    assert (me["email"], me["role"], me["scopes"], me["key_id"]) == ("owner@example.org", None, None, None)
    assert [(team["slug"], team["role"]) for team in me["teams"]] == [("ours", "owner")]
    assert me["permissions"] == ["own_account"]
    key = ok(api.with_key(owner, "jobs:read", team_id=ours.id).get("/v1/me"))
    assert (key["scopes"], key["key_team"], key["permissions"]) == (["jobs:read"], str(ours.id), [])
    board_admin = ok(api.signed_in().get("/v1/me"))
    assert "board_write" in board_admin["permissions"]


@pytest.mark.usefixtures("ours")
def test_a_key_is_shown_once_works_and_ends(api: Api, owner: UUID, board: Board) -> None:
    page = api.signed_in(owner)
    asked = {"name": "ci", "scopes": ["jobs:read"], "team": "ours", "expires_in_seconds": 3600}

    made = ok(page.post("/v1/keys", json=asked), 201)

    assert made["team"] == "ours"
    assert made["key"].startswith(made["prefix"])
    program = api.client(key_headers(made["key"]))
    ok(program.get("/v1/teams/ours/jobs"))
    ok(program.post("/v1/keys", json=asked), 403)  # a key makes no keys
    listed = page.get("/v1/keys").text + page.get("/v1/teams/ours/keys").text
    assert made["prefix"] in listed
    assert made["key"] not in listed + str(board.query("select * from board.audit")) + page.get("/v1/me").text
    assert ok(page.delete(f"/v1/teams/ours/keys/{made['id']}"))["state"] == "revoked"
    answer = program.get("/v1/teams/ours/jobs")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization" in ok(answer, 401)["error"]
    assert ok(page.get("/v1/keys")) == {"items": []}
    assert len(ok(page.get("/v1/keys", params={"all": "true"}))["items"]) == 1


@pytest.mark.usefixtures("ours")
def test_keys_are_made_for_what_there_is_and_ended_by_whose_they_are(api: Api, owner: UUID) -> None:
    page, other = api.signed_in(owner), api.signed_in(add_user(None))
    ok(page.post("/v1/keys", json={"name": "x", "scopes": []}), 422)
    ok(page.post("/v1/keys", json={"name": "x", "scopes": ["jobs:everything"]}), 422)
    ok(page.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"], "team": "theirs"}), 404)
    ok(other.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"], "team": "ours"}), 404)
    key_id = ok(page.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}), 201)["id"]
    ok(other.delete(f"/v1/keys/{key_id}"), 404)
    ok(page.delete(f"/v1/teams/ours/keys/{key_id}"), 404)  # it is not confined to that team
    ok(page.delete(f"/v1/keys/{key_id}"))


def test_a_team_with_its_members_and_projects(api: Api, admin: httpx.Client, owner: UUID) -> None:
    team = ok(admin.post("/v1/teams", json={"name": "Blue Team", "owner": str(owner)}), 201)
    assert (team["slug"], team["members"]) == ("blue-team", 1)
    assert "another slug" in ok(admin.post("/v1/teams", json={"name": "Blue Team"}), 409)["error"]
    page, member = api.signed_in(owner), add_user(None, "mia@example.org")
    members = f"/v1/teams/{team['id']}/members"

    assert ok(page.post(members, json={"email": "MIA@example.org"}), 201)["role"] == "member"
    assert ok(page.patch(f"{members}/{member}", json={"role": "admin"}))["role"] == "admin"
    deputy = api.signed_in(member)
    assert "may not" in ok(deputy.patch(f"{members}/{member}", json={"role": "owner"}), 403)["error"]
    assert "last owner" in ok(page.delete(f"{members}/me"), 409)["error"]
    project = ok(deputy.post("/v1/teams/blue-team/projects", json={"name": "App"}), 201)
    assert (project["slug"], project["team"]) == ("app", "blue-team")
    ok(deputy.post("/v1/teams/blue-team/projects", json={"name": "App"}), 409)
    at = f"/v1/teams/blue-team/projects/{project['id']}"
    assert ok(deputy.patch(at, json={"name": "The App"}))["name"] == "The App"
    assert len(ok(page.get("/v1/teams/blue-team/projects"))["items"]) == 1
    ok(deputy.delete(at, params={"why": "done"}))
    ok(page.get(at), 404)
    ok(deputy.delete(f"{members}/me"))
    assert ok(deputy.get("/v1/teams")) == {"items": []}
    ok(deputy.get(members), 404)
    acts = [entry["action"] for entry in ok(page.get("/v1/teams/blue-team/audit"))["items"]]
    assert acts[0] == "team.remove_member"
    assert acts[-1] == "team.create"
    ok(page.delete("/v1/teams/blue-team", params={"why": "over"}))
    ok(page.get("/v1/teams/blue-team"), 404)


@pytest.mark.usefixtures("ours")
def test_what_is_of_another_team_is_not_reached_by_way_of_ours(api: Api, owner: UUID, board: Board) -> None:
    theirs, page = add_team("theirs", owner=add_user(None)), api.signed_in(owner)

    for method in ("GET", "DELETE"):
        ok(page.request(method, f"/v1/teams/ours/projects/{theirs.project}"), 404)
    ok(page.patch(f"/v1/teams/ours/projects/{theirs.project}", json={"name": "Mine"}), 404)
    assert board.one("select count(*) from board.projects where deleted_at is null") == 2
    assert [team["slug"] for team in ok(page.get("/v1/teams"))["items"]] == ["ours"]


def test_users_are_let_in_changed_and_kept_out(api: Api, admin: httpx.Client, board: Board) -> None:
    asked = {"email": "ana@example.org", "name": "Ana", "password": "a long enough one"}
    user = ok(admin.post("/v1/users", json=asked), 201)
    assert (user["role"], user["has_password"]) == (None, True)
    assert "there already" in ok(admin.post("/v1/users", json=asked), 409)["error"]
    at = f"/v1/users/{user['id']}"

    assert ok(admin.patch(at, json={"role": "viewer"}))["role"] == "viewer"
    page = api.signed_in(UUID(user["id"]))
    ok(page.get("/v1/runs"))
    assert ok(admin.patch(at, json={"role": None}))["role"] is None
    ok(page.get("/v1/runs"), 403)
    assert ok(admin.patch(at, json={"disabled": True, "why": "left"}))["disabled_at"] is not None
    ok(page.get("/v1/me"), 401)
    me = ok(admin.get("/v1/me"))["user_id"]
    assert "last admin" in ok(admin.patch(f"/v1/users/{me}", json={"disabled": True}), 409)["error"]
    told = ok(admin.get("/v1/users", params={"limit": 1}))
    assert told["has_more"] is True
    rest = ok(admin.get("/v1/users", params={"cursor": told["cursor"]}))
    assert {told["items"][0]["id"], rest["items"][0]["id"]} == {user["id"], me}
    assert [one["id"] for one in ok(admin.get("/v1/users", params={"search": "ANA"}))["items"]] == [user["id"]]
    assert "a long enough one" not in str(board.query("select * from board.audit"))


def test_a_refused_password_is_not_repeated(admin: httpx.Client) -> None:
    answer = admin.post("/v1/users", json={"email": "ana@example.org", "password": "hunter2"})
    assert ok(answer, 422)["field"] == "password"
    assert "hunter2" not in answer.text


def test_credentials_are_never_a_keys_to_give(api: Api, admin: httpx.Client) -> None:
    boss = add_user("admin")
    program = api.with_key(boss, "jobs:read", "jobs:write", "accounts:write")
    asked = {"email": "eve@example.org", "role": "admin", "password": "a long enough one"}
    assert "a key never may" in ok(program.post("/v1/users", json=asked), 403)["error"]
    ok(program.post(f"/v1/users/{boss}/link", json={}), 403)
    link = ok(admin.post(f"/v1/users/{boss}/link", json={"minutes": 5}), 201)
    token = link["url"].partition("token=")[2]
    assert sign_in.with_link(token, ip=None, agent=None).principal.user_id == boss


def test_ones_own_sign_ins_are_listed_and_ended(api: Api, owner: UUID) -> None:
    here, there = api.signed_in(owner), api.signed_in(owner)
    told = ok(here.get("/v1/sign-ins"))["items"]
    assert [one["current"] for one in told].count(True) == 1
    (other,) = [one["id"] for one in told if not one["current"]]
    ok(here.delete(f"/v1/sign-ins/{other}"))
    ok(here.delete(f"/v1/sign-ins/{other}"), 404)
    ok(there.get("/v1/me"), 401)
    ok(here.get("/v1/me"))


@pytest.mark.usefixtures("ours")
def test_a_page_of_another_site_changes_nothing(api: Api, owner: UUID) -> None:
    page = api.signed_in(owner)
    forged = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    ok(page.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers=forged), 403)
    ok(page.post("/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers={"X-CSRF-Token": "no"}), 403)
    assert ok(page.get("/v1/keys")) == {"items": []}
