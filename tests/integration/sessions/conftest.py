"""A migrated database and empty session folders of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.sessions.settings import get_sessions_settings
from callboard import get_settings
from callboard.ledger import database
from sandbox.ollama import OllamaStandIn
from sandbox.session_files import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sessions_home(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that holds all tools' folders; the catalogue reads it and writes to a fresh database."""
    variables = environment(tmp_path) | {"CALLBOARD_DATABASE_URL": postgres_url, "CALLBOARD_HOME": str(tmp_path)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _forget_settings()
    yield tmp_path
    _forget_settings()


@pytest.fixture
def ollama(sessions_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaStandIn]:
    """The stand-in for Ollama that the catalogue talks to."""
    del sessions_home
    with OllamaStandIn() as stand_in:
        monkeypatch.setenv("CALLBOARD_SESSIONS_OLLAMA_URL", stand_in.url)
        get_sessions_settings.cache_clear()
        yield stand_in


def _forget_settings() -> None:
    database.dispose()
    get_settings.cache_clear()
    get_sessions_settings.cache_clear()
