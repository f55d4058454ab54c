"""The page of a bulk replay: what it says before, while and after the workers do it, whichever console is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from callboard import job
from console.app import make_app
from tests.console.kit import add_user, serving_app, signed_in
from tests.integration.engine.letters import bury
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    import httpx

    from tests.board import Board

LETTERS = "/admin/dead_letters"


@pytest.fixture
def oleg(board: Board) -> UUID:  # noqa: ARG001 - whose ledger it is
    return add_user("operator", "oleg@example.org")


@pytest.fixture
def browser(board: Board, oleg: UUID) -> Iterator[httpx.Client]:
    """Of an operator; six letters are open."""

    @job("paper")
    def paper(number: int) -> None: ...

    bury(paper, [(number,) for number in range(6)])
    with serving_app(make_app(board.settings), board.settings) as server, signed_in(server, oleg) as client:
        yield client


def start(browser: httpx.Client, **form: str) -> str:
    """The path of its page."""
    answer = browser.post(f"{LETTERS}/replay", data={"stop_on_same": "true", **form})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_it_is_shown_by_a_console_that_was_started_anew(browser: httpx.Client, board: Board, oleg: UUID) -> None:
    path = start(browser, q="job:paper", why="the printer is back", canary="true", rate="50", limit="5")
    waiting = browser.get(path).text
    assert "A worker takes it on" in waiting
    assert "0 of 5" in waiting
    assert "A bulk replay waits:" in browser.get(LETTERS).text
    run = board.one("select run_id from board.bulk_replays")
    assert f'href="{path}"' in browser.get(f"/admin/background_jobs/runs/{run}").text
    with serving_app(make_app(board.settings), board.settings) as another, signed_in(another, oleg) as later:
        assert later.get(path).text.count("the printer is back") == 1
        with board.worker():
            eventually(lambda: "data-poll" not in later.get(path).text)
        done = later.get(path).text
        for words in ("5 of 5", "<dt>Canary</dt><dd>completed", "50 a second", "oleg@example.org", "done</span>"):
            assert words in done
        assert "A bulk replay" not in later.get(LETTERS).text
    assert board.one("select count(*) from board.dead_letters where state = 'open'") == 1


def test_it_is_stopped_from_its_page(browser: httpx.Client, board: Board) -> None:
    path = start(browser, q="", rate="5")
    with board.worker():
        eventually(lambda: board.one("select count(*) from board.dead_letters where state = 'replayed'") > 0)
        answer = browser.post(f"{path}/stop", data={"back": path})
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        assert "what it has done stays done" in browser.get(path).text
        eventually(lambda: "asked to stop" in browser.get(path).text)
    left = board.one("select count(*) from board.dead_letters where state = 'open'")
    assert 0 < left < 6
    assert f"<dt>Left</dt><dd>{left}</dd>" in browser.get(path).text
    browser.post(f"{path}/stop", data={"back": path})
    assert "is over: stopped" in browser.get(path).text


def test_what_was_refused_and_why_it_gave_up_are_told(browser: httpx.Client, board: Board) -> None:
    board.execute("update board.dead_letters set payload = 'no json'::bytea where id = (select min(id) from "
                  "board.dead_letters)")  # fmt: skip
    path = start(browser, q="")
    with board.worker():
        eventually(lambda: "data-poll" not in browser.get(path).text)
    assert "holds no message" in browser.get(path).text
    failed = start(browser, q="state:open")
    run = board.one("select max(run_id::text) from board.bulk_replays where result is null")
    board.execute("update board.runs set state = 'failed', error = 'no space left' where id = :id", id=run)
    page = browser.get(failed).text
    assert "no space left" in page
    assert "Replay its own dead letter" in page
    assert browser.get(f"{LETTERS}/bulk/99").status_code == 404
