"""The owner of the two servers of one folder."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from callboard.embedded import _endpoints
from callboard.embedded._endpoints import Endpoints
from callboard.embedded._errors import EmbeddedError, HomeInUseError
from callboard.embedded._postgres import Postgres
from callboard.embedded._programs import require_programs
from callboard.embedded._user import server_user
from callboard.embedded._valkey import Valkey

if TYPE_CHECKING:
    from types import TracebackType

    from callboard.embedded._user import ServerUser

BROKER_PORT = 7379
_STOP_SECONDS = 4.0
_LAST_SECONDS = 0.6  # what a server gets even if the one before it has used up the time


class EmbeddedServers:
    """Postgres and Valkey in the folder `home`, owned by this process and ended with it.

    A lock on the folder itself keeps a second owner out; the system takes it back when we die, however we die. Start
    it from a thread that lives as long as the servers shall: the system ends them with that thread.
    """

    def __init__(self, home: Path, *, broker_port: int = BROKER_PORT) -> None:
        self._home = home.expanduser().resolve()
        self._broker_port = broker_port
        self._lock: int | None = None
        self._user: ServerUser | None = None
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None

    def start(self) -> Endpoints:
        """Start what does not run, at the same addresses as before if it ran before, and say where it is.

        Raises:
            HomeInUseError: Another living process owns the servers of this folder.
            EmbeddedError: A server cannot run here; the message says why and what to do. None is left running.
        """
        try:
            return self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether both server processes live; a slow one that does not answer at the moment does."""
        return all(server is not None and server.running for server in (self._valkey, self._postgres))

    def stop(self) -> None:
        """Stop both servers and leave no process, socket, lock or address file behind, within 5 s."""
        if self._lock is None:
            return
        deadline = time.monotonic() + _STOP_SECONDS
        servers = [server for server in (self._valkey, self._postgres) if server is not None]
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.await_end(max(_LAST_SECONDS, deadline - time.monotonic()))
        self._postgres = self._valkey = None
        _endpoints.remove(self._home)
        os.close(self._lock)
        self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> Endpoints:
        if self._lock is None:
            self._lock = _locked(self._home)
        if self._user is None:
            self._user = server_user(self._home)
        if self._postgres is None or self._valkey is None:
            self._valkey = Valkey(self._home, self._user, self._broker_port)
            self._postgres = Postgres(self._home, self._user)
        try:
            require_programs()
            return self._launch(self._valkey, self._postgres)
        except (EmbeddedError, OSError) as error:
            mend = self._user.mend(Path(sys.prefix) / "bin", self._home / "postgres")
            raise EmbeddedError(f"cannot start the servers in {self._home}: {error}\n{mend}".strip()) from error

    def _launch(self, valkey: Valkey, postgres: Postgres) -> Endpoints:
        """Both are launched before either is awaited: they start side by side."""
        for server in (valkey, postgres):
            if not server.running:
                server.launch()
        broker_url, database_url = valkey.await_ready(), postgres.await_ready()
        endpoints = Endpoints(database_url, broker_url, os.getpid())
        _endpoints.save(self._home, endpoints)
        return endpoints


def _locked(home: Path) -> int:
    """A descriptor of the folder under an exclusive lock; a folder made for it is closed to others."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise EmbeddedError(f"cannot use {home} ({error}): set CALLBOARD_HOME to a folder of your own.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        owner = _endpoints.load(home)
        raise HomeInUseError(
            f"the servers of {home} belong to process {owner.owner if owner else 'of another user'}: stop it first "
            "(Ctrl-C where `callboard up` runs), or set CALLBOARD_HOME to another folder."
        ) from error
    return descriptor
