"""Fixtures of the API's tests: the whole app on a fresh board, asked in this process or by HTTP."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from console.app import make_app
from tests.board import Board, open_board
from tests.console.api.caller import Api
from tests.console.kit import serving_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from console.server import ConsoleServer

JOBS = "tests.console.api.api_jobs"


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, postgres_url: str, broker_url: str) -> Iterator[Board]:
    """A board that has the jobs of `api_jobs`."""
    sys.modules.pop(JOBS, None)  # so that this board's broker has them
    with open_board(monkeypatch, postgres_url, broker_url, actors=JOBS) as opened:
        yield opened


@pytest.fixture
def app(board: Board) -> FastAPI:
    """The console as it is served."""
    return make_app(board.settings)


@pytest.fixture
def server(app: FastAPI, board: Board) -> Iterator[ConsoleServer]:
    """The same, behind HTTP."""
    with serving_app(app, board.settings) as serving:
        yield serving


@pytest.fixture
def api(server: ConsoleServer) -> Iterator[Api]:
    """Asks the API over HTTP."""
    with ExitStack() as opened:
        yield Api(server.url, opened)
