"""A socket that gives up at a moment: a peer that sends a byte now and then cannot hold its caller for longer."""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from functools import lru_cache
from typing import Any, NamedTuple

from callboard.outside._addresses import usable


class Place(NamedTuple):
    """Whom to call, and whether it may be in the own network."""

    scheme: str
    host: str
    port: int
    allow_private: bool


class Wire:
    """An open connection to a place; as much of a socket as `http.client` needs.

    Closing is the owner's: `http.client` closes its socket while the answer is still to be read.
    """

    def __init__(self, place: Place, deadline: float) -> None:
        self.place = place
        self.deadline = deadline
        self._socket = _connect(place, deadline)
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(place.host, place.port)
        self.connection.sock = self

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline."""
        self._socket.settimeout(left(self.deadline))
        self._socket.sendall(data)

    def makefile(self, *_mode: Any) -> io.BufferedReader:  # noqa: ANN401 - as socket.makefile, which takes many
        """What comes back, until the deadline."""
        return io.BufferedReader(_Reader(self))

    def receive(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        """Some of what comes back; 0 at its end."""
        self._socket.settimeout(left(self.deadline))
        return self._socket.recv_into(buffer)

    def is_quiet(self) -> bool:
        """Whether nothing came since: whatever does come between two requests is the end, or nothing one can use."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Nothing; see above."""

    def hang_up(self) -> None:
        """Close the connection."""
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        return self._wire.receive(buffer)


def left(deadline: float) -> float:
    """Seconds until then.

    Raises:
        TimeoutError: There are none.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


def _connect(place: Place, deadline: float) -> socket.socket:
    connected = _first(usable(place.host, place.port, allow_private=place.allow_private), place.port, deadline)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(left(deadline))
        if place.scheme != "https":
            return connected
        return _tls().wrap_socket(connected, server_hostname=place.host)
    except BaseException:
        connected.close()
        raise


def _first(addresses: list[str], port: int, deadline: float) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), left(deadline) / 2)
        except OSError:  # the next one may answer
            continue
    return socket.create_connection((addresses[-1], port), left(deadline))


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reads the system's certificates, which takes milliseconds."""
    return ssl.create_default_context()
