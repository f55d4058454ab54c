"""Signing in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import APIRouter

from callboard.accounts import sign_in
from callboard.operations import Who, accounts
from console.deps import SignedIn
from console.sign_in import _inside
from tests.console.kit import add_user, serving, signed_in
from tests.support import eventually

if TYPE_CHECKING:
    import io

    from console.server import ConsoleServer
    from tests.board import Board

WORD = "correct horse battery"


def _post(server: ConsoleServer, path: str, **data: str) -> httpx.Response:
    return httpx.post(server.url + path, data=data, headers={"Origin": server.url})


def test_a_link_shows_a_button_and_signs_in_once(console: ConsoleServer, board: Board, log: io.StringIO) -> None:
    token = sign_in.make_link(add_user())
    address = f"{console.url}/sign-in/link?token={token}"
    for _ in range(2):  # a mail program looks at it, and then a person
        shown = httpx.get(address)
        assert shown.status_code == 200
        assert token in shown.text
        assert "set-cookie" not in shown.headers
    answer = _post(console, "/sign-in/link", token=token)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    session = answer.cookies["callboard"]
    assert sign_in.find(session) is not None
    again = _post(console, "/sign-in/link", token=token)
    assert again.status_code == 401
    assert "was used before" in again.text
    assert token not in log.getvalue()
    assert session not in log.getvalue()
    assert board.one("select count(*) from board.sign_ins") == 1


def test_a_password_signs_in_and_a_wrong_one_says_no_more_than_that(console: ConsoleServer) -> None:
    user_id = add_user(email="anna@example.org")
    accounts.set_password(user_id, WORD, who=Who("cli:test"))
    unknown = _post(console, "/sign-in", email="nobody@example.org", password=WORD)
    wrong = _post(console, "/sign-in", email="anna@example.org", password="wrong" + WORD)
    assert (unknown.status_code, wrong.status_code) == (401, 401)
    assert wrong.text.replace("anna@", "nobody@") == unknown.text
    assert WORD not in wrong.text
    answer = _post(console, "/sign-in", email="anna@example.org", password=WORD, next="/admin/jobs?filter=x")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/jobs?filter=x")
    session = sign_in.find(answer.cookies["callboard"])
    assert session is not None
    assert session.email == "anna@example.org"


def test_too_many_tries_are_told_when_to_come_back(console: ConsoleServer) -> None:
    with httpx.Client(base_url=console.url, headers={"Origin": console.url}) as browser:
        first = browser.post("/sign-in/link", data={"token": "guessed"})
        assert first.status_code == 401

        def refused() -> httpx.Response | None:
            answer = browser.post("/sign-in/link", data={"token": "guessed"})
            return answer if answer.status_code == 429 else None

        last = eventually(refused, 10, every=0, what="to be told to wait")
        assert last is not None
        assert int(last.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/link"])
def test_another_site_cannot_sign_anybody_in(console: ConsoleServer, path: str) -> None:
    token = sign_in.make_link(add_user())
    form = {"token": token, "email": "a@b.c", "password": "x"}
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert httpx.post(console.url + path, data=form, headers=headers).status_code == 403
    assert sign_in.is_good(token)


def test_signing_in_leads_nowhere_else() -> None:
    for wanted in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/sign-in",
        "",
        "/a\nb",
    ):
        assert _inside(wanted) == "/", wanted
    assert _inside("/admin/jobs?filter=a//b") == "/admin/jobs?filter=a//b"


def test_signing_in_again_ends_the_session_before(console: ConsoleServer, board: Board) -> None:
    user_id = add_user()
    with signed_in(console, user_id) as browser:
        before = browser.cookies["callboard"]
        browser.post("/sign-in/link", data={"token": sign_in.make_link(user_id)})
        assert sign_in.find(before) is None
        assert board.one("select count(*) from board.sign_ins") == 1


def test_signing_out_ends_the_session_and_drops_the_cookie(console: ConsoleServer) -> None:
    with signed_in(console) as browser:
        token = browser.cookies["callboard"]
        answer = browser.post("/sign-out")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert 'callboard=""' in answer.headers["set-cookie"]
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        assert sign_in.find(token) is None


def test_nobody_is_sent_to_the_sign_in_and_a_program_is_told(board: Board) -> None:
    router = APIRouter()

    @router.get("/admin/jobs")
    @router.post("/admin/jobs")
    def jobs(me: SignedIn) -> str:
        return me.name

    with serving(board.settings, routers=[router]) as server:
        answer = httpx.get(f"{server.url}/admin/jobs?filter=state:failed&x=1")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=/admin/jobs%3Ffilter%3Dstate%3Afailed%26x%3D1"
        assert httpx.post(f"{server.url}/admin/jobs").status_code == 401
        partial = httpx.get(f"{server.url}/admin/jobs", headers={"HX-Request": "true"})
        assert (partial.status_code, partial.headers["hx-redirect"]) == (401, "/sign-in")
        answer = httpx.get(f"{server.url}/v1/stream")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert set(answer.json()) == {"error"}
        with signed_in(server) as browser:
            assert browser.get("/admin/jobs").status_code == 200
            assert browser.get("/sign-in").headers["location"] == "/"
