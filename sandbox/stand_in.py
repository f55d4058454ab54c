"""What every stand-in shares: a loopback HTTP server of its own, and faults on demand.

POST   /_sandbox/faults    plant one, e.g. {"status": 500, "times": 3}; see `Fault` for the fields
GET    /_sandbox/faults    what is planted
DELETE /_sandbox/faults    clear
GET    /_sandbox/requests  paths and sizes of the last 1,000 requests
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from sandbox.faults import Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from types import TracebackType

_REQUESTS_KEPT = 1000
_EMPTY = (204, 304)  # answers without a body


class ApiError(Exception):
    """An answer to a request that is wrong: a status and `{"error": text}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is more than a JSON document under 200."""

    document: object = None  #: bytes are sent as they are
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class StandIn(ABC):
    """Serves on a loopback port of its own while the `with` block lasts.

    Args:
        port: 0 takes any free one.
        host: Address to listen on; another than loopback only inside a container.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1") -> None:
        self.faults = Faults()
        self.requests: deque[tuple[str, int]] = deque(maxlen=_REQUESTS_KEPT)
        self.stopping = threading.Event()
        self._asking = threading.local()
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @abstractmethod
    def answer(self, method: str, path: str, body: bytes, fault: Fault) -> object:
        """The JSON document that answers a request, or a `Reply`.

        Raises:
            ApiError: What the real system would refuse.
        """

    def complaint(self, error: ApiError, fault: Fault) -> object:  # noqa: ARG002 - for those who override it
        """The document that tells of an error."""
        return {"error": str(error)}

    @property
    def headers(self) -> Message:
        """The headers of the request that is being answered."""
        headers: Message = self._asking.headers
        return headers

    @headers.setter
    def headers(self, headers: Message) -> None:
        self._asking.headers = headers

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, **fault: Any) -> None:  # noqa: ANN401 - the fields of Fault
        """Plant a fault: `fail(status=500, times=3)`."""
        self.faults.plant(Fault(**fault))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop serving and free the port; may be called twice."""
        self.stopping.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.end_connections()

    def control(self, method: str, path: str, body: bytes) -> object:
        """Answers for the paths under `/_sandbox/`."""
        match method, path:
            case "POST", "/_sandbox/faults":
                self._plant(parse_object(body))
            case "DELETE", "/_sandbox/faults":
                self.faults.clear()
            case "GET", "/_sandbox/requests":
                return [{"path": asked, "bytes": size} for asked, size in list(self.requests)]
            case "GET", "/_sandbox/faults":
                pass
            case _:
                raise ApiError(404, f"no {method} {path}")
        return self.faults.as_json()

    def _plant(self, document: dict[str, Any]) -> None:
        try:
            self.faults.plant(Fault.parse(document))
        except ValueError as error:
            raise ApiError(400, str(error)) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        super().__init__(address, _Handler)
        self.stand_in = stand_in
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        """Serve a connection, in a thread of its own."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the base class's signature
        """A connection has ended."""
        self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Take no more requests on connections that callers keep open; answers under way are still sent."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        """A caller who went away is none of our business; anything else is printed as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits 40 ms for the caller to acknowledge the headers
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        if self.server.stand_in.stopping.is_set():  # it came on a connection that was kept open
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = Fault() if self._is_control else self._take_fault(body)
        if fault.delay:
            self.server.stand_in.stopping.wait(fault.delay)
        if fault.reset:
            self._reset()
        else:
            self._send(self._answer(body, fault), fault)

    @property
    def _is_control(self) -> bool:
        return self.path.startswith("/_sandbox/")

    def _take_fault(self, body: bytes) -> Fault:
        stand_in = self.server.stand_in
        stand_in.requests.append((self.path, len(body)))
        return stand_in.faults.take(self.path, body) or Fault()

    def _answer(self, body: bytes, fault: Fault) -> Reply:
        try:
            document = self._document(body, fault)
        except ApiError as error:
            return Reply(self.server.stand_in.complaint(error, fault), error.status)
        return document if isinstance(document, Reply) else Reply(document)

    def _document(self, body: bytes, fault: Fault) -> object:
        stand_in = self.server.stand_in
        stand_in.headers = self.headers
        if self._is_control:
            return stand_in.control(self.command, self.path, body)
        if fault.status:
            raise ApiError(fault.status, f"planted fault {fault.status}")
        if fault.answer is not None:
            return fault.answer
        return stand_in.answer(self.command, self.path, body, fault)

    def _send(self, reply: Reply, fault: Fault) -> None:
        body = reply.document if isinstance(reply.document, bytes) else json.dumps(reply.document).encode()
        if fault.malformed:
            body = body[: len(body) // 2]
        if reply.status in _EMPTY:
            body = b""
        headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))}
        if fault.retry_after:
            headers["Retry-After"] = str(fault.retry_after)
        self.send_response(reply.status)
        for name, value in {**headers, **reply.headers, **fault.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Lingering for 0 s makes close send RST, which the caller sees as a broken connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Say nothing: `/_sandbox/requests` tells what was asked."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        ApiError: It holds no such thing.
    """
    try:
        document = json.loads(body)
    except ValueError:
        raise ApiError(400, "invalid JSON") from None
    if not isinstance(document, dict):
        raise ApiError(400, "a JSON object is expected")
    return document
