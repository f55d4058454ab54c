"""Sample sessions and a stand-in for Ollama, for a machine that has no session files of its own."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from actors.sessions.settings import SessionsSettings
from cli.up._ports import free_port
from cli.up._stand_ins import StandInProcess
from sandbox.session_files import Plan, environment, folders, write_sessions

if TYPE_CHECKING:
    from pathlib import Path

    from callboard.settings import Settings

_CATALOGUE = "actors.sessions"
_SESSIONS, _MESSAGES, _DAYS = 40, 1000, 40.0


class SampleSessions:
    """Decides whether samples are needed, makes them, and says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.folder = settings.home / "sandbox" / "sessions"
        self.environment: dict[str, str] = {}
        self.stand_ins: list[StandInProcess] = []

    def prepare(self, *, always: bool = False) -> list[str]:
        """Make what is needed, or all of it; returns what people should know."""
        if _CATALOGUE not in self._settings.actors or (not always and _has_sessions(self.folder)):
            return []
        write_samples(self.folder)
        self.environment = environment(self.folder)
        note = "no session files on this machine: sample sessions are used"
        if always or not _answers(SessionsSettings().ollama_url):
            port = free_port(0)
            self.environment["CALLBOARD_SESSIONS_OLLAMA_URL"] = f"http://127.0.0.1:{port}"
            self.stand_ins = [StandInProcess("ollama", _ollama(port), f"127.0.0.1:{port}")]
            note += ", and a stand-in for Ollama"
        return [f"{note}; see {self.folder.parent}"]


def _ollama(port: int) -> list[str]:
    """The command line of the stand-in, with the model that the catalogue asks for."""
    settings = SessionsSettings()
    return [
        *(sys.executable, "-m", "sandbox.ollama", "--port", str(port)),
        *("--model", settings.ollama_model, "--dimensions", str(settings.embedding_dimensions)),
    ]


def write_samples(folder: Path) -> None:
    """Fill `folder` with sample sessions of the last weeks, in one step; one that is filled stays as it is."""
    if folder.exists():
        return
    draft = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)  # what an earlier, killed attempt left
    draft.mkdir(parents=True)
    write_sessions(draft, Plan(_SESSIONS, _MESSAGES, newest=datetime.now(UTC), days=_DAYS))
    draft.rename(folder)


def _has_sessions(samples: Path) -> bool:
    """Whether the catalogue finds something of its own: a folder that is set on purpose, or one with a file in it."""
    ours = environment(samples)
    if any(os.environ.get(name) not in (None, path) for name, path in ours.items()):
        return True
    settings = SessionsSettings()
    places = [getattr(settings, f"{tool}_dir") for tool in folders(samples)]
    return any(place.is_dir() and any(place.iterdir()) for place in places if samples not in place.parents)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", timeout=1.0).is_success
    except httpx.HTTPError:
        return False
