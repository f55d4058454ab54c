"""A small threaded HTTP server: bounded in connections and time, silent on stderr, and gone after `stop`."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias, cast

from observability.plain_log import PlainLog

# Open connections; one more is closed at once. An idle one is closed after _IDLE_SECONDS.
MAX_CONNECTIONS = 32
_IDLE_SECONDS = 5.0
_STOP_SECONDS = 2.0
_TEXT = "text/plain; charset=utf-8"

# What socketserver may hand over; the tuple is for UDP.
_Request: TypeAlias = "socket.socket | tuple[bytes, socket.socket]"

_log = PlainLog(__name__)

#: Gives a header's value, "" without one.
Headers = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = _TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Routes = Mapping[str, Callable[[Headers], Answer]]


class HttpServer(ThreadingHTTPServer):
    """Listens from construction on, answers from `start` on, each connection in a thread of its own."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], routes: Routes) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.routes = routes
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._connections: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, _Handler)
        self._acceptor = threading.Thread(target=self.serve_forever, args=(0.1,), name="metrics-server", daemon=True)

    def start(self) -> None:
        """Answer requests."""
        self._acceptor.start()

    def stop(self) -> None:
        """Close the port and the connections; waits for the threads, but no longer than 2 s for a stuck one."""
        self.shutdown()
        self.server_close()
        connections = list(self._connections.items())
        for connection, _ in connections:
            _hang_up(connection)
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in [self._acceptor, *(thread for _, thread in connections)]:
            thread.join(max(0.0, deadline - time.monotonic()))

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: _Request, client_address: object) -> None:
        """Answer in a new thread, unless there are too many."""
        connection = cast("socket.socket", request)  # a TCP server's request is its socket
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(connection)
            return
        thread = threading.Thread(
            target=self._answer, args=(connection, client_address), name="metrics-request", daemon=True
        )
        self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads; the base class closes the connection
            self._forget(connection)
            raise

    def _answer(self, connection: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(connection, client_address)
        finally:
            self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._connections.pop(connection, None)
        self._slots.release()

    def handle_error(self, request: _Request, client_address: object) -> None:  # noqa: ARG002 - as the base class has it
        """A client that hangs up in mid-answer is no error of ours; the standard one prints a traceback."""
        _log.debug("exporter.request_failed", client=str(client_address), exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    timeout = _IDLE_SECONDS
    server_version = "callboard"
    sys_version = ""

    def do_GET(self) -> None:
        answer = self._answer()
        self._send(answer)
        self.wfile.write(answer.body)

    def do_HEAD(self) -> None:
        self._send(self._answer())

    def _answer(self) -> Answer:
        path = self.path.partition("?")[0]
        route = self.server.routes.get(path)
        if route is None:
            known = ", ".join(self.server.routes)
            return Answer(404, f"nothing here; try {known}\n".encode())
        try:
            return route(lambda name: self.headers.get(name, ""))
        except Exception as error:  # noqa: BLE001 - the client is told, the log says why, the next request is answered
            _log.error("exporter.request_broken", path=path, exc_info=error)
            return Answer(500, b"the answer could not be made; the exporter's log says why\n")

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        _log.debug("exporter.request", line=format % args)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        # The client was faster.
        _log.debug("exporter.connection_gone", error=str(error))
