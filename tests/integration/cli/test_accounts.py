"""Users, teams, projects, keys and the audit, from the command line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from callboard.accounts import keys, sign_in
from callboard.exits import Exit
from callboard.settings import get_settings

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Board

PASSWORD = "correct horse battery staple"


def listed(board: Board, *argv: str) -> list[dict[str, Any]]:
    answer = board(*argv, "--json")
    assert (answer.code, answer.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(answer.out)
    return found


def done(board: Board, *argv: str) -> str:
    answer = board(*argv)
    assert (answer.code, answer.err) == (0, ""), answer
    return answer.out


def test_a_user_is_let_in_changed_and_kept_out(board: Board) -> None:
    assert "callboard users link anna@example.org" in done(board, "users", "add", "anna@example.org", "--role", "admin")
    done(board, "users", "add", "bert@example.org", "--name", "Bert", "--why", "new here")
    assert "operator" in done(board, "users", "role", "BERT@example.org", "operator")
    assert re.search(r"bert@example\.org +Bert +operator +active +link +never", done(board, "users", "list"))
    last = board("users", "disable", "anna@example.org")
    assert (last.code, "last admin" in last.err) == (Exit.FAILED, True)
    done(board, "users", "disable", "bert@example.org")
    refused = board("users", "link", "bert@example.org")
    assert (refused.code, "`callboard users enable bert@example.org`" in refused.err) == (Exit.FAILED, True)
    done(board, "users", "enable", "bert@example.org")
    bert = listed(board, "users", "list", "--search", "bert")[0]
    assert (bert["role"], bert["disabled_at"], bert["has_password"]) == ("operator", None, False)
    assert "password_hash" not in bert
    assert board("users", "role", str(bert["id"]), "none").code == 0
    unknown = board("users", "enable", "carl@example.org")
    assert (unknown.code, "`callboard users list`" in unknown.err) == (Exit.NOT_FOUND, True)
    wrong = board("users", "add", "no address")
    assert (wrong.code, "write it like ops@example.org" in wrong.err) == (Exit.USAGE, True)


def test_a_password_comes_from_stdin_and_is_never_shown(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    done(board, "users", "add", "anna@example.org")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    told = board("users", "password", "anna@example.org", "--stdin")
    assert (told.code, told.err, PASSWORD in told.out) == (0, "", False)
    session = sign_in.with_password("anna@example.org", PASSWORD, ip=None, agent=None)
    assert session.principal.email == "anna@example.org"
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    short = board("users", "password", "anna@example.org", "--stdin")
    assert (short.code, "it needs 12 to 1024" in short.err) == (Exit.USAGE, True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    nobody_to_ask = board("users", "password", "anna@example.org")
    assert (nobody_to_ask.code, "--stdin" in nobody_to_ask.err) == (Exit.USAGE, True)


def test_a_link_is_alone_on_stdout_and_signs_in_once(board: Board) -> None:
    done(board, "users", "add", "anna@example.org")
    answer = board("users", "link", "anna@example.org", "--minutes", "5")
    assert (answer.code, "anna@example.org in once, within 5 min" in answer.err) == (0, True)
    url = urlsplit(answer.out.strip())
    assert (url.netloc, url.path) == (f"127.0.0.1:{get_settings().console_port}", "/sign-in/link")
    session = sign_in.with_link(parse_qs(url.query)["token"][0], ip=None, agent=None)
    assert session.principal.email == "anna@example.org"
    assert board("users", "link", "anna@example.org", "--minutes", "99999").code == Exit.USAGE


def test_teams_and_projects(board: Board) -> None:
    done(board, "users", "add", "anna@example.org")
    done(board, "users", "add", "bert@example.org")
    assert "The team growth is there" in done(board, "teams", "add", "Growth", "--owner", "anna@example.org")
    done(board, "teams", "add-member", "growth", "bert@example.org", "--role", "admin")
    assert [(one["email"][:4], one["role"]) for one in listed(board, "teams", "members", "growth")] == [
        ("anna", "owner"),
        ("bert", "admin"),
    ]
    last = board("teams", "remove-member", "growth", "anna@example.org")
    assert (last.code, "last owner" in last.err) == (Exit.FAILED, True)
    done(board, "teams", "remove-member", "growth", "bert@example.org")
    made = done(board, "projects", "add", "growth", "Web shop")
    (project,) = listed(board, "projects", "list", "--team", "growth")
    assert f"project_id={project['id']}" in made
    assert "growth/web-shop" in done(board, "projects", "list")
    done(board, "projects", "rename", "growth/web-shop", "Shop")
    done(board, "projects", "delete", str(project["id"]))
    gone = board("projects", "delete", "growth/web-shop")
    assert (gone.code, "No project is growth/web-shop" in gone.err) == (Exit.NOT_FOUND, True)
    assert board("projects", "delete", "web-shop").code == Exit.USAGE
    done(board, "teams", "rename", "growth", "Great growth")
    assert re.search(r"growth +Great growth +1 +0 ", done(board, "teams", "list"))
    done(board, "teams", "delete", "growth", "--why", "merged")
    assert "There is no team" in done(board, "teams", "list")


def test_a_key_is_alone_on_stdout_and_shown_once(board: Board) -> None:
    done(board, "users", "add", "anna@example.org", "--role", "operator")
    answer = board("keys", "create", "ci", "--user", "anna@example.org", "--scope", "jobs:read", "--expires-in", "30d")
    assert (answer.code, "ci may jobs:read as anna@example.org, until" in answer.err) == (0, True)
    key = answer.out.strip()
    principal = keys.find(key)
    assert principal is not None
    assert key not in answer.err
    (row,) = listed(board, "keys", "list")
    assert (row["prefix"], row["scopes"], row["state"]) == (key[:11], ["jobs:read"], "active")
    assert key not in done(board, "keys", "list")
    done(board, "keys", "revoke", f"{key[:11]}…")
    assert keys.find(key) is None
    assert (listed(board, "keys", "list"), len(listed(board, "keys", "list", "--all"))) == ([], 1)
    for argv, code, told in (
        (("create", "x", "--user", "anna@example.org", "--scope", "all"), Exit.USAGE, "none of jobs:read, jobs:write"),
        (("create", "x", "--user", "nobody@example.org"), Exit.NOT_FOUND, "No user is nobody@example.org"),
        (("revoke", "cb_unknown"), Exit.NOT_FOUND, "`callboard keys list`"),
    ):
        refused = board("keys", *argv)
        assert (refused.code, told in refused.err) == (code, True), refused


def test_the_audit_tells_who_did_what_and_why(board: Board) -> None:
    done(board, "users", "add", "anna@example.org", "--why", "new here")
    done(board, "users", "role", "anna@example.org", "viewer", "--why", "on call")
    done(board, "teams", "add", "Growth")
    table = done(board, "audit", "action:user.*")
    assert re.search(r"cli:\S+ +user\.role +user \S+ +on call +\{.*viewer", table)
    newest, oldest = listed(board, "audit", "type:user", "age:<1h")
    assert (newest["action"], oldest["action"], oldest["why"]) == ("user.role", "user.create", "new here")
    assert [row["action"] for row in listed(board, "audit", "team:growth")] == ["team.create"]
    first = board("audit", "--limit", "1", "--json")
    assert (len(json.loads(first.out)), "the same with --cursor" in first.err) == (1, True)
    rest = listed(board, "audit", "--cursor", first.err.split()[-1])
    assert [row["action"] for row in rest] == ["user.role", "user.create"]
    assert listed(board, "audit", "age:>1h") == []
    assert listed(board, "audit", "type:user", f"resource:{newest['resource_id']}", f"who:{newest['who']}")
    assert "Nobody did anything that fits" in done(board, "audit", "who:anna@example.org")
