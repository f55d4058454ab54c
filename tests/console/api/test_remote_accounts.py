"""Breakers, notifications, people, keys and the audit over the API: as where the board is, and as whose the key is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from callboard import TransientError, breaker
from callboard.ledger.database import transaction
from callboard.ledger.facts import RunFacts
from callboard.ledger.outgoing import Outgoing
from sandbox.smtp import SmtpStandIn
from tests.console.api.caller import add_key, add_team
from tests.console.api.far import SCOPES, Line
from tests.console.kit import add_user
from tests.integration.engine.recorder_kit import facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from console.server import ConsoleServer
    from tests.board import Board


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpStandIn]:
    with SmtpStandIn(user="board", password="hunter2") as stand_in:
        monkeypatch.setenv("CALLBOARD_SMTP_URL", f"smtp://board:hunter2@127.0.0.1:{stand_in.smtp_port}?tls=none")
        yield stand_in


@pytest.fixture
def admin(mailbox: SmtpStandIn, board: Board) -> UUID:  # noqa: ARG001 - both before the settings are read
    return add_user("admin", email="root@example.org")


@pytest.fixture
def line(admin: UUID, server: ConsoleServer, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(capsys, server.url, add_key(admin, SCOPES))


def same(line: Line, *argv: str) -> None:
    """A listing, which must not be empty, from both ends."""
    here = line.here(*argv, "--json").json
    assert here, argv
    assert line.far(*argv, "--json").json == here, argv
    assert line.far(*argv).out.split("\n")[0].split() == line.here(*argv).out.split("\n")[0].split(), argv


def done(line: Line, *argv: str) -> str:
    answer = line.far(*argv)
    assert (answer.code, answer.err) == (0, ""), answer
    return answer.out


def test_people_teams_and_projects_are_looked_after_from_far(line: Line, board: Board) -> None:
    assert "anna@example.org is operator" in done(line, "users", "add", "anna@example.org", "--role", "operator")
    done(line, "users", "add", "bert@example.org", "--name", "Bert", "--why", "new here")
    assert "now viewer" in done(line, "users", "role", "BERT@example.org", "viewer", "--why", "on call")
    assert "sees" not in done(line, "users", "disable", "bert@example.org")
    assert "let in again" in done(line, "users", "enable", "bert@example.org")
    assert "The team growth is there" in done(line, "teams", "add", "Growth", "--owner", "anna@example.org")
    done(line, "teams", "add-member", "growth", "bert@example.org", "--role", "admin", "--why", "helps")
    same(line, "teams", "members", "growth")
    assert "bert@example.org is no longer" in done(line, "teams", "remove-member", "growth", "bert@example.org")
    done(line, "projects", "add", "growth", "Web shop", "--why", "asked for")
    done(line, "projects", "add", "growth", "Blog")
    for argv in (("users", "list"), ("users", "list", "--search", "bert"), ("teams", "list"), ("projects", "list")):
        same(line, *argv)
    same(line, "projects", "list", "--team", "growth")
    done(line, "projects", "rename", "growth/web-shop", "Shop")
    blog = next(one["id"] for one in line.far("projects", "list", "--json").json if one["slug"] == "blog")
    assert "growth/blog is deleted" in done(line, "projects", "delete", blog)
    done(line, "teams", "rename", "growth", "Great growth", "--why", "it is")
    assert "growth is deleted" in done(line, "teams", "delete", "growth", "--why", "merged")
    acts = {(row.action, row.why) for row in board.query("select action, why from board.audit")}
    assert acts >= {
        ("user.create", "new here"), ("user.role", "on call"), ("team.member", "helps"), ("team.rename", "it is"),
        ("project.create", "asked for"), ("team.delete", "merged"),
    }  # fmt: skip
    assert {row.who for row in board.query("select distinct split_part(who, ':', 2) as who from board.audit")} == {
        "api_key"
    }


def test_a_listing_of_users_goes_on_over_pages(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.board._accounts_remote._MOST", 2)
    for number in range(5):
        add_user(None, email=f"u{number}@example.org")
    same(line, "users", "list")
    assert [one["email"] for one in line.far("users", "list", "-n", "3", "--json").json] == [
        "root@example.org", "u0@example.org", "u1@example.org",
    ]  # fmt: skip
    assert done(line, "users", "role", "U4@example.org", "viewer")


def test_keys_are_listed_and_revoked_from_far(line: Line, admin: UUID, board: Board) -> None:
    anna = add_user("operator", email="anna@example.org")
    team = add_team("growth", owner=anna)
    keys = [add_key(anna, ("jobs:read",)), add_key(anna, ("jobs:read",), team.id), add_key(admin, ("jobs:read",))]
    done(line, "keys", "list")  # from now on our own key was used
    for argv in ((), ("--user", "anna@example.org"), ("--team", "growth"), ("--all",)):
        same(line, "keys", "list", *argv)
    assert len(line.far("keys", "list", "--team", "growth", "--user", "anna@example.org", "--json").json) == 1
    assert "is revoked" in done(line, "keys", "revoke", f"{keys[0][:11]}…", "--why", "lost")
    assert [one["prefix"] for one in line.far("keys", "list", "--user", "anna@example.org", "--json").json] == [
        keys[1][:11]
    ]
    assert board.one("select why from board.audit where action = 'api_key.revoke'") == "lost"


def test_a_team_s_key_lists_and_revokes_the_keys_of_its_team(line: Line, admin: UUID, board: Board) -> None:
    owner = add_user(None, email="tess@example.org")
    team, other = add_team("growth", owner=owner), add_team("finance", owner=owner)
    key, foreign = add_key(owner, ("jobs:read",), team.id), add_key(owner, ("jobs:read",), other.id)
    line.key = add_key(owner, SCOPES, team.id)
    prefixes = [one["prefix"] for one in line.far("keys", "list", "--json").json]
    assert prefixes == [line.key[:11], key[:11]]
    done(line, "keys", "revoke", f"{key[:11]}…", "--why", "lost")
    assert [one["prefix"] for one in line.far("keys", "list", "--json").json] == [line.key[:11]]
    assert board.query("select team_id, why from board.audit where action = 'api_key.revoke'") == [(team.id, "lost")]
    for hidden in (foreign[:11], add_key(admin, ("jobs:read",))[:11], "cb_unknown"):
        refused = line.far("keys", "revoke", hidden)
        assert (refused.code, f"No key is {hidden}." in refused.err) == (4, True), refused
    assert board.one("select count(*) from board.api_keys where revoked_at is not null") == 1


def test_what_is_refused_is_refused_with_the_same_code(line: Line) -> None:
    for argv, code in (
        (("users", "role", "nobody@example.org", "viewer"), 4),
        (("users", "add", "no address"), 2),
        (("users", "role", "root@example.org", "king"), 2),
        (("users", "disable", "root@example.org"), 1),  # the last admin
        (("teams", "delete", "nothing"), 4),
        (("projects", "delete", "growth/nothing"), 4),
        (("projects", "delete", "nothing"), 2),
        (("keys", "revoke", "cb_unknown"), 4),
        (("breakers", "reset", "siem:none"), 4),
        (("notifications", "test", "nobody"), 2),
        (("notifications", "list", "--state", "lost"), 2),
        (("audit", "actor:anna"), 2),
    ):
        far, here = line.far(*argv), line.here(*argv)
        assert far.code == here.code == code, (argv, far.err, here.err)


def test_an_operator_s_key_may_what_an_operator_may(line: Line) -> None:
    line.key = add_key(add_user("operator"), SCOPES)
    assert done(line, "breakers")
    assert done(line, "audit")
    refused = line.far("users", "list")
    assert (refused.code, "the board role admin" in refused.err) == (1, True)


def test_a_team_s_key_reads_its_own_audit(line: Line) -> None:
    owner = add_user(None)
    team = add_team("growth", owner=owner)
    done(line, "teams", "rename", "growth", "Great growth")
    line.key = add_key(owner, SCOPES, team.id)
    for word in ("team:growth", f"team:{team.id}"):
        assert [one["action"] for one in line.far("audit", word, "--json").json] == ["team.rename"]
    assert line.far("audit").code == 1


def test_breakers_are_seen_and_closed_from_far(line: Line, board: Board) -> None:
    for _ in range(3):
        with suppress(TransientError), breaker("siem:one/a b", failures=3):
            raise TransientError("answered 503")
    same(line, "breakers")
    same(line, "breakers", "list", "--all")
    assert "Breaker siem:one/a b is closed" in done(line, "breakers", "reset", "siem:one/a b", "--why", "mended")
    assert "Every breaker is closed" in done(line, "breakers")
    row = board.query("select resource_id, why from board.audit where action = 'breaker.reset'")
    assert list(row) == [("siem:one/a b", "mended")]


def told(board: Board) -> RunFacts:
    run = facts("nightly", notify=("anna@example.org",))
    with transaction() as connection:
        Outgoing(board.settings).ended(connection, run, "failed")
    return run


def test_notifications_are_listed_and_tried_from_far(
    line: Line, board: Board, mailbox: SmtpStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.board._remote._MOST", 2)
    for _ in range(3):
        told(board)
    for argv in ((), ("--state", "pending"), ("--since", "1h"), ("-n", "1")):
        same(line, "notifications", "list", *argv)
    assert line.far("notifications", "list", "--state", "sent", "--json").json == []
    assert done(line, "notifications", "test", "mail", "--to", "bert@example.org") == "bert@example.org: sent\n"
    assert [mail.recipients for mail in mailbox.mails] == [["bert@example.org"]]
    mailbox.fail(status=550)
    refused = line.far("notifications", "test", "mail", "--to", "bert@example.org")
    assert (refused.code, "the address was refused" in refused.out) == (1, True)
    tries = board.query("select resource_id, detail ->> 'error' is null from board.audit order by id")
    assert list(tries) == [("bert@example.org", True), ("bert@example.org", False)]


def test_the_audit_is_the_same_from_far(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.board._remote._MOST", 2)
    done(line, "users", "add", "anna@example.org", "--why", "new here")
    for role in ("viewer", "operator", "none"):
        done(line, "users", "role", "anna@example.org", role)
    done(line, "teams", "add", "Growth")
    for argv in (
        (),
        ("who:root@example.org",),
        ("action:user.*",),
        ("type:user", "age:<1h"),
        ("team:growth",),
        ("-n", "3"),
    ):
        same(line, "audit", *argv)
    assert line.far("audit", "age:>1h", "--json").json == []
