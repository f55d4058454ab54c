"""`callboard console`, in a process of its own, and `callboard console link`."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from callboard.accounts import sign_in
from callboard.operations import Who, accounts
from tests.integration.cli.conftest import Board, logged, stop
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "a-token-of-the-settings-of-this-test"


def _url(board: Board) -> str:
    (line,) = eventually(lambda: logged(board, "console.started"), 30, what="the console")
    return str(line["url"])


def test_it_serves_until_it_is_stopped_and_its_token_signs_in_once(
    board: Board, service: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOARD_CONSOLE_TOKEN", TOKEN)
    monkeypatch.setenv("CALLBOARD_LOG_FORMAT", "json")
    process = service("console", "--port", "0")
    url = _url(board)
    eventually(lambda: sign_in.is_good(TOKEN), what="the token to be a link")
    assert board("console", "link").out.startswith(f"{url}/sign-in/link?token=")
    with httpx.Client(base_url=url, headers={"Origin": url}) as browser:
        assert browser.get("/readyz").text == "ok\n"
        assert browser.post("/sign-in/link", data={"token": TOKEN}).status_code == 303
        assert browser.post("/sign-in/link", data={"token": TOKEN}).status_code == 401
        with browser.stream("GET", "/v1/stream") as stream:
            assert stream.status_code == 200
            began = time.monotonic()
            assert stop(process) == 0
            assert time.monotonic() - began < 3
    assert logged(board, "console.stopped")
    log = (board.folder / "service.log").read_text()
    assert TOKEN not in log
    assert browser.cookies["callboard"] not in log
    assert "http://127.0.0.1:9190/sign-in" in board("console", "link").out, "no console runs: as the settings say"


def test_a_link_is_for_whom_it_is_asked(board: Board) -> None:
    board("jobs")  # the settings of this test are read
    accounts.create_user("anna@example.org", who=Who("cli:test"))
    answer = board("console", "link", "Anna@example.org")
    found = re.fullmatch(r"http://127\.0\.0\.1:9190/sign-in/link\?token=([\w-]{43})\n", answer.out)
    assert found is not None, answer
    assert sign_in.with_link(found[1], ip=None, agent=None).principal.email == "anna@example.org"
    answer = board("console", "link", "nobody@example.org")
    assert answer.code != 0
    assert "nobody@example.org" in answer.err


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CALLBOARD_CONSOLE_HOST": "0.0.0.0"}, "CALLBOARD_CONSOLE_ALLOW_PLAIN"),  # noqa: S104 - is refused
        ({"CALLBOARD_CONSOLE_TLS_CERT": "/no/such/file.pem"}, "CALLBOARD_CONSOLE_TLS_KEY is not set"),
    ],
)
def test_what_it_refuses_is_one_line(
    board: Board, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = board("console", "--port", "0")
    assert answer.code != 0
    assert words in answer.err
    assert "Traceback" not in answer.err
    answer = board("up")
    assert words in answer.err


def test_a_taken_port_is_one_line(board: Board) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = board("console", "--port", str(taken.getsockname()[1]))
    assert answer.code != 0
    assert "choose another with CALLBOARD_CONSOLE_PORT" in answer.err
