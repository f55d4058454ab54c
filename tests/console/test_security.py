"""What holds for every answer and every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import httpx
import pytest
from fastapi import APIRouter, Form
from fastapi.responses import PlainTextResponse

from callboard.settings import Settings
from console.guard import MOST_BODY
from console.security import CSRF_HEADER, Policy, csrf_token
from tests.console.kit import add_user, serving, session_of, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.server import ConsoleServer
    from tests.board import Board


def _routes() -> APIRouter:
    router = APIRouter()

    @router.get("/page")
    def page() -> PlainTextResponse:
        return PlainTextResponse("a page")

    @router.post("/act")
    def act(word: Annotated[str, Form()] = "") -> PlainTextResponse:
        return PlainTextResponse(f"done {word}")

    return router


@pytest.fixture
def server(board: Board) -> Iterator[ConsoleServer]:
    with serving(board.settings, routers=[_routes()]) as server:
        yield server


@pytest.fixture
def browser(server: ConsoleServer) -> Iterator[httpx.Client]:
    """Signed in, with nothing but the cookie."""
    token = session_of(add_user())
    with httpx.Client(base_url=server.url, cookies={"callboard": token}) as client:
        yield client


def _token(browser: httpx.Client) -> str:
    return csrf_token(browser.cookies["callboard"])


def _own(server: ConsoleServer) -> dict[str, str]:
    return {"Origin": server.url}


def test_every_answer_carries_the_headers(browser: httpx.Client) -> None:
    for path in ("/page", "/healthz", "/no/such/page", "/v1/nothing", "/v1/openapi.json", "/sign-in"):
        _require_headers(browser.get(path).headers)


def _require_headers(headers: httpx.Headers) -> None:
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_pages_of_our_own_have_no_script_and_no_style_in_their_text(browser: httpx.Client) -> None:
    for path in ("/sign-in", "/sign-in/link?token=abc", "/no/such/page", "/v1/docs"):
        text = browser.get(path, headers={"Cookie": ""}).text
        assert "<h1>" in text
        assert "<style" not in text
        assert " style=" not in text
        assert " onclick=" not in text
        for script in text.split("<script")[1:]:
            assert script.lstrip().startswith("src="), path
        assert "//cdn" not in text


def test_a_name_that_is_not_ours_is_refused(browser: httpx.Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "[::1].evil.example"):
        answer = browser.get("/page", headers={"Host": host})
        assert answer.status_code in (400, 421), host
        assert "a page" not in answer.text
    assert browser.get("/healthz", headers={"Host": "10.1.2.3:9190"}).status_code == 200, "probes come by any name"


def test_names_of_the_settings_are_ours() -> None:
    settings = Settings(console_url="https://Board.example.org", console_hosts=("other.example",), console_host="::1")
    policy = Policy.of(settings)
    for host in ("board.example.org", "BOARD.example.org:443", "other.example:9190", "localhost", "[::1]:9190"):
        assert policy.knows(host), host
    for host in ("example.org", "board.example.org.evil", "0.0.0.0", "", "[::2]:9190"):  # noqa: S104 - a name
        assert not policy.knows(host), host
    assert not Policy.of(Settings(console_host="0.0.0.0", console_allow_plain=True)).knows("0.0.0.0")  # noqa: S104 - not a name


ELSEWHERE: list[dict[str, str]] = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Referer": "https://evil.example/"},
]


def test_a_form_from_elsewhere_is_refused_even_with_its_token(browser: httpx.Client) -> None:
    for headers in ELSEWHERE:
        answer = browser.post("/act", headers=headers | {CSRF_HEADER: _token(browser)})
        assert answer.status_code == 403, headers
        assert "another site" in answer.text


def test_a_form_of_our_own_needs_the_token_of_its_session(server: ConsoleServer, browser: httpx.Client) -> None:
    own = _own(server)
    for form in ({}, {"csrf_token": ""}, {"csrf_token": csrf_token("another session")}):
        answer = browser.post("/act", headers=own, data={"word": "x", **form})
        assert answer.status_code == 403
        assert "reload it" in answer.text
    answer = browser.post("/act", headers=own, data={"word": "it is", "csrf_token": _token(browser)})
    assert answer.text == "done it is", "the body reaches the route after the token was looked for in it"
    assert browser.post("/act", headers=own | {CSRF_HEADER: _token(browser)}, data={"word": "so"}).text == "done so"
    assert browser.post("/act", headers=own | {CSRF_HEADER: "no"}).status_code == 403
    fetch = {"Sec-Fetch-Site": "same-origin", CSRF_HEADER: _token(browser)}
    assert browser.post("/act", headers=fetch).status_code == 200


def test_a_token_in_an_upload_or_in_json_is_not_looked_for(server: ConsoleServer, browser: httpx.Client) -> None:
    token = _token(browser)
    answer = browser.post("/act", headers=_own(server), files={"csrf_token": (None, token)})
    assert answer.status_code == 403
    assert browser.post("/act", headers=_own(server), json={"csrf_token": token}).status_code == 403


def test_every_method_that_changes_something_is_held_to_it(browser: httpx.Client) -> None:
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        assert browser.request(method, "/act").status_code == 403


def test_a_key_needs_no_token_and_makes_the_cookie_count_for_nothing(browser: httpx.Client) -> None:
    answer = browser.post("/act", headers={"Authorization": "Bearer cb_whatever"})
    assert answer.status_code == 200
    answer = browser.get("/v1/stream", headers={"Authorization": "Bearer cb_whatever"})
    assert answer.status_code == 401, "the session of the cookie does not help a key that does not hold"


def test_a_token_tells_nothing_of_its_session() -> None:
    assert csrf_token("a") != csrf_token("b")
    assert len(csrf_token("a")) == 43


def test_a_body_that_is_too_large_is_refused_however_it_comes(server: ConsoleServer, browser: httpx.Client) -> None:
    headers = _own(server) | {CSRF_HEADER: _token(browser), "Content-Type": "application/x-www-form-urlencoded"}
    whole = b"word=" + b"x" * MOST_BODY
    assert browser.post("/act", headers=headers, content=whole).status_code == 413

    def drops() -> Iterator[bytes]:
        for _ in range(MOST_BODY // 65536 + 1):
            yield b"x" * 65536

    assert browser.post("/act", headers=headers, content=drops()).status_code == 413
    del headers[CSRF_HEADER]
    assert browser.post("/act", headers=headers, content=drops()).status_code == 413, "while the token is looked for"


def test_a_signed_in_browser_of_the_kit_may_act(server: ConsoleServer) -> None:
    with signed_in(server) as client:
        assert client.post("/act", data={"word": "x"}).text == "done x"


def test_another_origin_is_ours_only_where_the_settings_say_so() -> None:
    policy = Policy.of(Settings(console_url="https://board.example.org"))
    assert policy.secure
    assert policy.same_origin({"origin": "https://board.example.org", "host": "10.0.0.5:9190"})
    assert not policy.same_origin({"origin": "https://board.example.org.evil", "host": "10.0.0.5:9190"})
    assert not policy.same_origin({"origin": "", "host": ""})
