"""The exporter's HTTP server: `/metrics`, `/healthz` and `/readyz`, on the loopback address unless told otherwise."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client.exposition import gzip_accepted

from observability._http import Answer, HttpServer
from observability.exposition import choose_any
from observability.plain_log import PlainLog
from observability.redaction import redact_text

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from observability.exposition import Encoder

__all__ = ["MAX_SCRAPES", "MetricsServer", "Probe", "fine"]

#: None while all is well, else what is wrong in a few words.
Probe = Callable[[], "str | None"]

#: Scrapes answered at the same time; one more is told to come again, so that a slow database is not asked ever more.
MAX_SCRAPES = 4

# Of gzip: 0.6 ms where the default, 9, takes 10 ms to make it half as long (4,000 series).
_LEVEL = 1

_log = PlainLog(__name__)


def fine() -> None:
    """The probe of a process that is well as long as it answers."""


class MetricsServer:
    """Serves a registry. `port` 0 takes a free one; `healthy` and `ready` are asked at each request.

    `encoder` writes what the registry collects; `exposition.choose_plain` is faster, for what it can write.

    `start` and `stop` may be called in any order and any number of times; after `stop`, `start` listens anew.
    """

    def __init__(
        self,
        registry: Collector,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        healthy: Probe = fine,
        ready: Probe = fine,
        encoder: Encoder = choose_any,
    ) -> None:
        self._registry = registry
        self._encoder = encoder
        self._address = (host, port)
        self._scrapes = threading.BoundedSemaphore(MAX_SCRAPES)
        self._routes = {
            "/metrics": self._metrics,
            "/healthz": lambda _headers: _probe(healthy),
            "/readyz": lambda _headers: _probe(ready),
        }
        self._lock = threading.Lock()
        self._server: HttpServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; 0 when stopped."""
        server = self._server
        return 0 if server is None else int(server.server_address[1])

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        host = f"[{self._address[0]}]" if ":" in self._address[0] else self._address[0]
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen. Raises OSError, with what to do about it, if the port is taken."""
        with self._lock:
            if self._server is None:
                self._server = self._listen()
                self._server.start()

    def stop(self) -> None:
        """Close the port and all connections; returns when no thread of the server is left, or after 2 s."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _listen(self) -> HttpServer:
        host, port = self._address
        try:
            return HttpServer(self._address, self._routes)
        except OSError as error:
            raise OSError(
                error.errno, f"metrics cannot be served on {host}:{port} ({error.strerror}): choose another port"
            ) from error

    def _metrics(self, headers: Callable[[str], str]) -> Answer:
        if not self._scrapes.acquire(blocking=False):
            return Answer(503, b"too many scrapes at once\n", headers={"Retry-After": "5"})
        try:
            return self._exposition(headers)
        finally:
            self._scrapes.release()

    def _exposition(self, headers: Callable[[str], str]) -> Answer:
        encode, content_type = self._encoder(headers("Accept"))
        body = encode(self._registry)
        if gzip_accepted(headers("Accept-Encoding")):
            return Answer(200, gzip.compress(body, _LEVEL, mtime=0), content_type, {"Content-Encoding": "gzip"})
        return Answer(200, body, content_type)


def _probe(probe: Probe) -> Answer:
    try:
        wrong = probe()
    except Exception as error:  # noqa: BLE001 - a probe that fails is an answer: not well
        _log.warning("exporter.probe_failed", exc_info=error)
        wrong = type(error).__name__
    return Answer(200, b"ok\n") if wrong is None else Answer(503, f"{redact_text(wrong)}\n".encode())
