"""One board with its console, one worker and one browser for all tests of a file; they end with it."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.browser.chromium import open_browser
from tests.browser.theatre import Theatre, open_theatre
from tests.browser.visitor import Visitor, visiting
from tests.passwords import light_hashes  # noqa: F401 - a fixture
from tests.support import eventually, non_daemon_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

    from callboard.embedded import Endpoints

_NUMBER = iter(range(1, 1000))


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """As everywhere, but for the threads of the console's pool: the console outlives the test."""
    before = non_daemon_threads()
    yield
    eventually(lambda: _lasting() <= before, 3, what="the end of every thread the test has started")


def _lasting() -> set[threading.Thread]:
    return {thread for thread in non_daemon_threads() if thread.name != "AnyIO worker thread"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def theatre(embedded: Endpoints, new_database: Callable[..., str], template_database: str) -> Iterator[Theatre]:
    """The board; a worker works on it."""
    with Redis.from_url(embedded.broker_url) as client:
        client.flushall()
    url = new_database(f"browser_{next(_NUMBER)}", template_database)
    with (
        pytest.MonkeyPatch.context() as patch,
        open_theatre(patch, url, embedded.broker_url) as opened,
        opened.board.worker(threads=4),
    ):
        yield opened


@pytest.fixture
def sign_in(browser: Browser, theatre: Theatre) -> Iterator[Callable[..., Visitor]]:
    """Signs somebody in; at the end nothing may have been complained of."""
    with ExitStack() as opened:

        def visit(email: str = "oleg@example.org", *, phone: bool = False, dark: bool = False) -> Visitor:
            return opened.enter_context(visiting(browser, theatre, email, phone=phone, dark=dark))

        yield visit
