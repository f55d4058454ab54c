"""The console's HTTP server: uvicorn in a thread of its own, on an address that it may be reached by."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
import uvloop

from callboard.errors import DeclarationError
from console.security import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from callboard.settings import Settings
    from console.live import Hub

_log = structlog.get_logger(__name__)

# Of the 3 s that a stop may take: streams are ended at once, and what else is under way gets this long.
_GRACE_SECONDS: Final = 2
_START_SECONDS: Final = 15.0
_BACKLOG: Final = 512


class ConsoleServer:
    """Serves an app; `start` returns once it answers. After `stop` nothing of it is left.

    Raises, from `start`:
        DeclarationError: It would be heard beyond this machine without TLS, or half of a certificate is set.
        OSError: The port is taken, or the address is not of this machine.
        RuntimeError: The app did not come up; the log says why.
    """

    def __init__(self, app: FastAPI, settings: Settings, *, host: str | None = None, port: int | None = None) -> None:
        self._app = app
        self._settings = settings
        self._host = settings.console_host if host is None else host
        self._port = settings.console_port if port is None else port
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        scheme = "http" if self._settings.console_tls_cert is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - where that is reached
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Listen, and wait until it answers."""
        if self._thread is not None:
            return
        require_safe(self._settings, self._host)
        listening = _listen(self._host, self._port)
        self.port = int(listening.getsockname()[1])
        self._server = _Uvicorn(self._config())
        self._thread = threading.Thread(target=self._run, args=(self._server, listening), name="console")
        self._thread.start()
        if not self._server.settled.wait(_START_SECONDS) or not self._server.started:
            self.stop()
            raise RuntimeError("the console did not come up; the log says why.")

    def stop(self) -> None:
        """End every stream, let what is under way end for 2 s, and close the port."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._server = self._thread = None

    def _config(self) -> uvicorn.Config:
        settings = self._settings
        return uvicorn.Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,  # a path may hold the token of a link that signs in
            log_config=None,
            log_level=logging.WARNING,
            server_header=False,
            # A proxy is believed only where one is said to be, and only on this machine.
            proxy_headers=bool(settings.console_url),
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=30,
            ssl_certfile=settings.console_tls_cert,
            ssl_keyfile=None if settings.console_tls_key is None else str(settings.console_tls_key),
        )

    @staticmethod
    def _run(server: _Uvicorn, listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(server.serve(sockets=[listening]))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - uvicorn ends its process if the app does not come up
            _log.exception("console.ended", error=str(error).partition("\n")[0])
        finally:
            listening.close()
            server.settled.set()


class _Uvicorn(uvicorn.Server):
    """Says when it has come up, and ends the streams first when it stops: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Come up."""
        await super().startup(sockets)
        self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        app = self.config.app
        hub: Hub = app.state.hub  # type: ignore[union-attr] # it was given as a FastAPI
        hub.end_all()
        await super().shutdown(sockets)


def require_safe(settings: Settings, host: str) -> None:
    """Make sure that nobody beyond this machine is served without TLS, but on an explicit word.

    Raises:
        DeclarationError: It would be so, or a certificate lacks its key or its file.
    """
    cert, key = settings.console_tls_cert, settings.console_tls_key
    if (cert is None) != (key is None):
        lacking = "CALLBOARD_CONSOLE_TLS_CERT" if cert is None else "CALLBOARD_CONSOLE_TLS_KEY"
        raise DeclarationError(f"{lacking} is not set: a certificate and its key belong together.")
    for name, path in (("CERT", cert), ("KEY", key)):
        _require_file(name, path)
    if cert is None and not is_loopback(host) and not settings.console_allow_plain:
        raise DeclarationError(
            f"console_host={host!r} is reached beyond this machine, and passwords would travel in the clear: set "
            "CALLBOARD_CONSOLE_TLS_CERT and CALLBOARD_CONSOLE_TLS_KEY, or behind a proxy that has TLS "
            "CALLBOARD_CONSOLE_ALLOW_PLAIN=true."
        )


def _require_file(name: str, path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise DeclarationError(f"CALLBOARD_CONSOLE_TLS_{name}={path} is no file; correct the path.")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        mend = "choose another with CALLBOARD_CONSOLE_PORT; 0 takes a free one"
        raise OSError(error.errno, f"the console cannot listen on {host}:{port} ({error.strerror}): {mend}") from error
    listening.set_inheritable(False)
    return listening
