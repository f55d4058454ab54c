"""Fixtures of the console's tests."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from observability import logs
from tests.console.kit import serving
from tests.passwords import light_hashes  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from console.server import ConsoleServer
    from tests.board import Board


@pytest.fixture(autouse=True)
def log() -> io.StringIO:
    """What the console logs in this test, a JSON object a line."""
    stream = io.StringIO()
    logs.configure(format="json", level="info", service="console", stream=stream)
    return stream


@pytest.fixture
def console(board: Board) -> Iterator[ConsoleServer]:
    """A console with sign-in, stream and probes on a fresh board."""
    with serving(board.settings) as server:
        yield server
