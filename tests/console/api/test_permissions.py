"""Every route by every kind of caller: the table below is the whole of who may do what, and nothing else answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import text

from callboard.ledger.database import transaction
from callboard.operations import Who, runs
from tests.console.api.asgi import Reply, Request, asked
from tests.console.api.caller import Team, add_key, add_team, key_headers, page_headers, session_headers
from tests.console.kit import add_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from tests.board import Board

#: Requests under way; each may hold a connection to the ledger.
AT_ONCE = 6
READ, WRITE, ACCOUNTS = "jobs:read", "jobs:write", "accounts:write"


@dataclass(frozen=True)
class Rule:
    """Who may: these roles of the board, and these of the team; a key with that scope, None: no key at all."""

    board: str = ""
    team: str = ""
    scope: str | None = None
    #: Whoever is signed in, however little they may.
    anybody: bool = False
    #: What a team is answered with that the caller may not know of.
    hidden: int = 404


SEES = Rule("viewer operator admin", scope=READ)
ACTS = Rule("operator admin", scope=WRITE)
AUDITS = Rule("operator admin", scope=ACCOUNTS)
RULES_ACCOUNTS = Rule("admin", scope=ACCOUNTS)
HANDS_OUT = Rule("admin")
OWN = Rule(anybody=True)
SEES_TEAM = Rule("viewer operator admin", "owner admin member", READ)
RUNS_TEAM = Rule("operator admin", "owner admin", WRITE)
MANAGES_TEAM = Rule("admin", "owner admin", ACCOUNTS)
OWNS_TEAM = Rule("admin", "owner", ACCOUNTS)
TEAM_RULES = (SEES_TEAM, RUNS_TEAM, MANAGES_TEAM, OWNS_TEAM)

TABLE: dict[str, Rule] = {
    "list_runs": SEES,
    "get_run": SEES,
    "cancel_run": ACTS,
    "cancel_runs": ACTS,
    "list_jobs": SEES,
    "trigger_job": ACTS,
    "get_overview": SEES,
    "get_trends": SEES,
    "get_now": SEES,
    "list_schedules": SEES,
    "get_schedule": SEES,
    "pause_schedule": ACTS,
    "resume_schedule": ACTS,
    "run_schedule_now": ACTS,
    "list_queues": SEES,
    "get_queue": SEES,
    "pause_queue": ACTS,
    "resume_queue": ACTS,
    "limit_queue": ACTS,
    "list_workers": SEES,
    "list_breakers": SEES,
    "reset_breaker": ACTS,
    "list_notifications": SEES,
    "test_notification": ACTS,
    "list_failures": SEES,
    "get_failure": SEES,
    "retry_failures": ACTS,
    "list_issues": SEES,
    "get_issue": SEES,
    "resolve_issue": ACTS,
    "take_issue": ACTS,
    "reopen_issue": ACTS,
    "silence_issue": ACTS,
    "list_dead_letters": SEES,
    "get_dead_letter": SEES,
    "plan_replay": SEES,
    "replay_dead_letter": ACTS,
    "replay_dead_letters": ACTS,
    "discard_dead_letter": ACTS,
    "discard_dead_letters": ACTS,
    "list_replays": SEES,
    "get_replay": SEES,
    "start_replay": ACTS,
    "stop_replay": ACTS,
    "list_audit": AUDITS,
    "list_users": RULES_ACCOUNTS,
    "create_user": RULES_ACCOUNTS,
    "get_user": RULES_ACCOUNTS,
    "change_user": RULES_ACCOUNTS,
    "sign_out_user": RULES_ACCOUNTS,
    "make_sign_in_link": HANDS_OUT,
    "list_user_keys": RULES_ACCOUNTS,
    "list_all_keys": RULES_ACCOUNTS,
    "revoke_any_key": RULES_ACCOUNTS,
    "revoke_user_key": RULES_ACCOUNTS,
    "get_me": Rule(anybody=True, scope="any"),
    "stream": Rule(anybody=True, scope="any"),
    "change_password": OWN,
    "list_keys": OWN,
    "create_key": OWN,
    "revoke_key": OWN,
    "list_sign_ins": OWN,
    "end_sign_in": OWN,
    "list_teams": Rule(anybody=True, scope=READ),
    "create_team": RULES_ACCOUNTS,
    "get_team": SEES_TEAM,
    "rename_team": MANAGES_TEAM,
    "delete_team": OWNS_TEAM,
    "list_team_audit": MANAGES_TEAM,
    "list_members": SEES_TEAM,
    "add_member": MANAGES_TEAM,
    "change_member": MANAGES_TEAM,
    "remove_member": MANAGES_TEAM,
    "leave_team": Rule("viewer operator admin", "owner admin member"),
    "list_all_projects": Rule(anybody=True, scope=READ),
    "list_projects": SEES_TEAM,
    "create_project": MANAGES_TEAM,
    "get_project": SEES_TEAM,
    "rename_project": MANAGES_TEAM,
    "delete_project": MANAGES_TEAM,
    "list_team_keys": MANAGES_TEAM,
    "revoke_team_key": MANAGES_TEAM,
    "list_team_jobs": SEES_TEAM,
    "trigger_team_job": Rule("operator admin", "owner admin", WRITE, hidden=403),
    "get_team_job": SEES_TEAM,
    "cancel_team_job": RUNS_TEAM,
}


@dataclass(frozen=True)
class Caller:
    """Somebody who asks, as the test knows them: what it expects is told from this, not from our own code."""

    name: str
    headers: dict[str, str] = field(repr=False, default_factory=dict)
    board: str = ""
    team: str = ""
    #: None: by a session.
    scopes: tuple[str, ...] | None = None
    #: The team that the key is confined to: "ours", "theirs" or none.
    confined: str = ""
    holds: bool = True

    def expects(self, rule: Rule, *, of_team: bool) -> int:
        """The status: 200 stands for any that says that the door was open."""
        if not self.holds:
            return 401
        if of_team and not self._knows():
            return rule.hidden
        if not self._scoped(rule):
            return 403
        if self.confined and not of_team:
            return 200 if rule.anybody and rule.scope is not None else 403
        return 200 if rule.anybody or self.board in rule.board.split() or self.team in rule.team.split() else 403

    def _knows(self) -> bool:
        return self.confined == "ours" if self.confined else bool(self.board or self.team)

    def _scoped(self, rule: Rule) -> bool:
        return self.scopes is None or rule.scope == "any" or rule.scope in self.scopes


def _callers(ours: Team, theirs: Team, people: dict[str, tuple[UUID, str, str]]) -> Iterator[Caller]:
    yield Caller("nobody", holds=False)
    yield Caller("a made-up key", key_headers("cb_" + "x" * 43), holds=False)
    yield Caller("a made-up session", page_headers("x" * 43), holds=False)
    for name, (user_id, board, team) in people.items():
        yield Caller(f"{name}, signed in", session_headers(user_id), board, team)
        for scopes in ((), (READ,), (WRITE,), (ACCOUNTS,), (READ, WRITE, ACCOUNTS)):
            told = " ".join(scopes) or "no scope"
            yield Caller(f"{name}, key: {told}", key_headers(add_key(user_id, scopes)), board, team, scopes)
            key = key_headers(add_key(user_id, scopes, ours.id))
            yield Caller(f"{name}, our team's key: {told}", key, board, team, scopes, "ours")
        everything = (READ, WRITE, ACCOUNTS)
        key = key_headers(add_key(user_id, everything, theirs.id))
        yield Caller(f"{name}, another team's key", key, board, team, everything, "theirs")


def _spent(team: Team) -> Iterator[Caller]:
    """An admin's keys that hold no more."""
    everything = (READ, WRITE, ACCOUNTS)
    ends = {
        "revoked": "update board.api_keys set revoked_at = now() where prefix = :prefix",
        "expired": "update board.api_keys set expires_at = now() - interval '1 second' where prefix = :prefix",
        "of a disabled owner": "update board.users set disabled_at = now() where id = :user_id",
    }
    for name, statement in ends.items():
        owner = add_user("admin")
        keys = [add_key(owner, everything), add_key(owner, everything, team.id)]
        session = session_headers(owner)
        with transaction() as connection:
            for key in keys:
                given = {"prefix": key[:11]} if ":prefix" in statement else {"user_id": owner}
                connection.execute(text(statement), given)
        for key in keys:
            yield Caller(f"key {name}", key_headers(key), "admin", "", everything, holds=False)
        if "owner" in name:
            yield Caller("session of a disabled user", session, "admin", holds=False)


@dataclass(frozen=True)
class Route:
    """One operation of the document, and how it is asked without doing anything."""

    name: str
    method: str
    path: str
    of_team: bool
    has_body: bool

    def request(self, ids: dict[str, str]) -> Request:
        """Whoever is let in is told that it makes no sense, so that the next one finds all as it was."""
        path = self.path
        for name, value in ids.items():
            path = path.replace("{" + name + "}", value)
        if self.has_body:
            return Request(self.method, path, body=b'{"no_such_field": 1}')
        if self.method == "DELETE":
            return Request(self.method, path, query=b"why=" + b"x" * 600)
        return Request(self.method, path, query=b"topics=nonsense" if self.name == "stream" else b"")


def _routes(document: dict[str, Any]) -> Iterator[Route]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = operation["operationId"].split("_v1_")[0]
            rule = TABLE.get(name)
            of_team = rule is not None and bool(rule.team)
            yield Route(name, method.upper(), path, of_team, "requestBody" in operation)


def _ids(team: Team) -> dict[str, str]:
    triggered = runs.trigger("sync_project", {"project_id": team.project}, who=Who("test"))
    system = runs.trigger("load", {}, who=Who("test"))
    known = {"team": team.slug, "project_id": team.project, "job": "prune", "queue": "upkeep", "run_id": str(system.id)}
    others = dict.fromkeys(("user_id", "key_id", "key"), str(uuid4())) | {"sign_in_id": "0" * 16}
    numbers = dict.fromkeys(("failure_id", "issue_id", "letter_id"), "1")
    return known | others | numbers | {"team_run_id": str(triggered.id)}


async def _ask_all(app: FastAPI, routes: list[Route], callers: list[Caller], ids: dict[str, str]) -> list[str]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(route: Route, request: Request, caller: Caller) -> list[str]:
        async with gate:
            return list(_judge(route, caller, await asked(app, request, caller.headers)))

    wrong: list[str] = []
    for route in routes:
        known = ids | ({"run_id": ids["team_run_id"]} if route.name.endswith("team_job") else {})
        request = route.request(known)
        for told in await asyncio.gather(*(ask(route, request, caller) for caller in callers)):
            wrong += told
    return wrong


def _judge(route: Route, caller: Caller, answer: Reply) -> Iterator[str]:
    expected = caller.expects(TABLE[route.name], of_team=route.of_team)
    got = answer.status
    opened = got not in (401, 403) and got < 500 and not (got == 404 and "No team is called" in answer.text)
    if not (opened if expected == 200 else got == expected):
        yield f"{route.name} for {caller.name}: {got} instead of {expected}: {answer.text[:200]}"
    if got >= 400 and "error" not in json.loads(answer.text):
        yield f"{route.name} for {caller.name}: an error of another shape: {answer.text[:200]}"
    if got == 401 and answer.headers.get("www-authenticate") != "Bearer":
        yield f"{route.name} for {caller.name}: 401 without WWW-Authenticate"


def test_every_route_stands_in_the_table(app: FastAPI) -> None:
    assert {route.name for route in _routes(app.openapi())} == set(TABLE)


def test_nothing_answers_that_should_not(app: FastAPI, board: Board) -> None:
    people = {
        name: (add_user(role or None), role, team)
        for name, role, team in (
            ("viewer", "viewer", ""),
            ("operator", "operator", ""),
            ("board admin", "admin", ""),
            ("owner", "", "owner"),
            ("team admin", "", "admin"),
            ("member", "", "member"),
            ("stranger", "", ""),
        )
    }
    ours = add_team("ours", owner=people["owner"][0], admin=people["team admin"][0], member=people["member"][0])
    theirs = add_team("theirs", owner=people["stranger"][0])
    callers = [*_callers(ours, theirs, people), *_spent(ours)]
    routes, ids = list(_routes(app.openapi())), _ids(ours)

    wrong = asyncio.run(_ask_all(app, routes, callers, ids))

    assert len(callers) * len(routes) > 5_000
    assert not wrong, f"{len(wrong)} answers:\n" + "\n".join(wrong[:40])
    assert board.one("select count(*) from board.teams where deleted_at is null") == 2
