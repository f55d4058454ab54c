"""Postgres and the broker: embedded ones that we own, or others that are only looked at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from callboard.embedded import EmbeddedServers

if TYPE_CHECKING:
    from pathlib import Path

    from callboard.settings import Settings

_log = structlog.get_logger(__name__)
_WANTED_PORT = 7379
_TEND_SECONDS = 3.0


@dataclass(frozen=True)
class Server:
    """A server as the screen shows it; one that is not ours has no process number."""

    name: str
    pid: int | None
    address: str
    ours: bool


class Servers:
    """Starts the embedded servers if a URL is missing, and brings them back when they die."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedServers | None = None
        self._broker_url = settings.broker_url or ""
        self._next_look = 0.0
        self._troubled = False
        if settings.database_url is None or settings.broker_url is None:
            self._embedded = EmbeddedServers(settings.home, broker_port=_WANTED_PORT)

    def start(self) -> list[str]:
        """Start what is ours; returns what people should know.

        Raises:
            EmbeddedError: A server cannot be started, or another process owns the folder.
        """
        if self._embedded is None:
            return ["nothing embedded starts: CALLBOARD_DATABASE_URL and CALLBOARD_BROKER_URL are set."]
        self._launch(self._embedded)
        notes = []
        port = urlsplit(self._broker_url).port
        if self._settings.broker_url is None and port != _WANTED_PORT:
            notes.append(f"port {_WANTED_PORT} is taken: Valkey listens on port {port} instead.")
        for name, url in (("DATABASE", self._settings.database_url), ("BROKER", self._settings.broker_url)):
            if url is not None:
                notes.append(f"CALLBOARD_{name}_URL is set and used; set the other URL too to start nothing embedded.")
        return notes

    def _launch(self, embedded: EmbeddedServers) -> None:
        endpoints = embedded.start()
        self._broker_url = self._settings.broker_url or endpoints.broker_url

    def tend(self) -> list[str]:
        """Every few seconds, start again what has died of ours; returns what happened.

        One that lives and is slow is left alone: a start that fails would stop both.
        """
        if self._embedded is None or time.monotonic() < self._next_look:
            return []
        self._next_look = time.monotonic() + _TEND_SECONDS
        if self._embedded.running:
            return []
        try:
            self._launch(self._embedded)
        except Exception as error:  # noqa: BLE001 - the next look tries again; `up` itself must outlive it
            _log.warning("servers.start_failed", error=str(error))
            news = [] if self._troubled else [str(error)]
            self._troubled = True
            return news
        self._troubled = False
        return []

    def stop(self) -> None:
        """Stop what is ours, within 5 s."""
        if self._embedded is not None:
            self._embedded.stop()

    def listing(self, broker_info: dict[str, Any]) -> list[Server]:
        """Both servers; `broker_info` is what the broker's INFO says of itself."""
        home = self._settings.home
        own_database, own_broker = self._settings.database_url is None, self._settings.broker_url is None
        place = f"socket in {home / 'postgres'}" if own_database else _place(str(self._settings.database_url))
        return [
            Server("postgres", _postmaster(home) if own_database else None, place, own_database),
            Server(
                str(broker_info.get("server_name") or "broker"),
                broker_info.get("process_id") if own_broker else None,
                _place(self._broker_url),
                own_broker,
            ),
        ]


def _place(url: str) -> str:
    """Where a URL points to, without who asks and with what password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _postmaster(home: Path) -> int | None:
    try:
        return int((home / "postgres" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):  # it is starting, or has just died
        return None
