"""Secrets in arguments, errors, notes, reasons and headers come out of no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.console.api.caller import Api, add_team, ok
from tests.console.kit import add_user
from tests.support import eventually

if TYPE_CHECKING:
    from tests.board import Board

PASSWORD = "hunter2-correct-horse"
BEARER = "sk-live-0123456789abcdefghijklmnop"
TOKEN = "xoxb-123456789012-abcdefghijklmnopqrstuvwx"
PLANTED = (PASSWORD, BEARER, TOKEN)


def test_no_answer_holds_a_planted_secret(api: Api, board: Board) -> None:
    owner = add_user("admin")
    team = add_team("ours", owner=owner)
    page = api.signed_in(owner)
    page.headers["User-Agent"] = f"curl token={TOKEN}"
    error = f"login failed: password={PASSWORD} Authorization: Bearer {BEARER}"
    trigger = {"job": "broken", "args": {"reason": error, "password": PASSWORD, "token": TOKEN}}
    ok(page.post("/v1/jobs/trigger", json=trigger | {"why": f"password={PASSWORD}"}), 201)
    asked = {"job_type": "sync_project", "project_id": team.project, "params": {"token": TOKEN}}
    made = ok(page.post("/v1/teams/ours/jobs/trigger", json=asked), 201)["job_run"]
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.runs where state in ('completed', 'failed')") == 2)

    (letter,) = ok(page.get("/v1/dead-letters"))["items"]
    replay = {"args": {"password": PASSWORD, "reason": error}, "why": f"token={TOKEN}"}
    ok(page.post(f"/v1/dead-letters/{letter['id']}/replay", json=replay), 201)
    ok(page.post("/v1/jobs/trigger", json={"job": "load", "args": {"password": PASSWORD, "no": 1}}), 400)
    ok(page.get("/v1/runs", params={"filter": f"passwrd:{PASSWORD}"}), 400)

    said, leaks = [], []
    for path in _paths(page.get("/v1/openapi.json").json(), letter, made["id"]):
        answer = page.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        said.append(answer.text)
        leaks += [_around(path, answer.text, secret) for secret in PLANTED if secret in answer.text]
    assert len(said) > 25
    assert "login failed" in "".join(said)
    assert leaks == []


def _around(path: str, text: str, secret: str) -> str:
    at = text.index(secret)
    return f"{path}: {text[max(0, at - 60) : at + 60]}"


def _paths(document: dict[str, dict[str, object]], letter: dict[str, object], team_run: str) -> list[str]:
    known = {
        "{team}": "ours",
        "{letter_id}": str(letter["id"]),
        "{issue_id}": str(letter["issue_id"]),
        "{failure_id}": "1",
        "{queue}": "upkeep",
    }
    paths = []
    for path, methods in document["paths"].items():
        run = team_run if path.startswith("/v1/jobs/") else str(letter["run_id"])
        for name, value in {**known, "{run_id}": run}.items():
            path = path.replace(name, value)  # noqa: PLW2901 - filled in
        if "get" in methods and "{" not in path and path != "/v1/stream":  # type: ignore[operator] # a mapping
            paths.append(path)
    return paths
