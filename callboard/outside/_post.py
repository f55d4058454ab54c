"""One POST without a detour."""

from __future__ import annotations

import http.client
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from callboard._retry_after import LONGEST, retry_after
from callboard.errors import PermanentError, TransientError
from callboard.outside._idle import idle
from callboard.outside._wire import Place, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

TIMEOUT_SECONDS = 15.0
_ANSWER_BYTES = 65_536
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back, of its body at most 64 kB; `retry_after` is in seconds, where the server said any."""

    status: int
    body: bytes
    retry_after: float | None = None


class _Asked(Exception):  # noqa: N818 - it carries a header to where headers are read
    def __init__(self, told: str | None) -> None:
        super().__init__()
        self.retry_after = told


class _Stale(Exception):  # noqa: N818 - what the connection was
    """A connection that waited was closed by the other side before it answered."""


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    body: bytes
    headers: Mapping[str, str]


def post_pinned(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool = False,
    timeout: float = TIMEOUT_SECONDS,
    keep_alive: bool = False,
) -> HttpAnswer:
    """Send `body` to `url`; no error tells more of the URL than its host.

    Args:
        url: Where to; `http` and `https`.
        body: What.
        headers: Besides Content-Length and Host.
        allow_private: Also to addresses that are not of the public internet.
        timeout: Seconds for everything but looking the name up.
        keep_alive: Keep the connection for the next request to the same place, and use one that was kept. If that one
            turns out to be closed, the request is sent again on a new one, so it may arrive twice.

    Raises:
        TransientError: No answer came; the next attempt may get one.
        PermanentError: The URL is none, or the host's certificate does not fit.
        NotPublic: The host has no public address.
    """
    parts, place = _parse(url, allow_private=allow_private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = _Request(path, body, headers if keep_alive else {**headers, "Connection": "close"})
    try:
        return _send(place, request, time.monotonic() + timeout)
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"{place.host}: its certificate does not fit: {error.verify_message}") from None
    except TimeoutError:
        raise TransientError(f"{place.host} did not answer within {timeout:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{place.host} cannot be reached: {error or type(error).__name__}") from None


def _parse(url: str, *, allow_private: bool) -> tuple[SplitResult, Place]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise PermanentError("A URL to call must begin with https:// or http:// and name a host.") from None
    if not parts.hostname:
        raise PermanentError("A URL to call must name a host.")
    return parts, Place(parts.scheme, parts.hostname, port, allow_private)


def _send(place: Place, request: _Request, deadline: float) -> HttpAnswer:
    kept = None if "Connection" in request.headers else idle.take(place)
    if kept is not None:
        kept.deadline = deadline
        try:
            return _exchange(kept, request, reused=True)
        except _Stale:
            pass
    return _exchange(Wire(place, deadline), request, reused=False)


def _exchange(wire: Wire, request: _Request, *, reused: bool) -> HttpAnswer:
    keep = False
    try:
        response = _ask(wire, request, reused=reused)
        body = _body(response)
        asked = retry_after(_Asked(response.getheader("Retry-After")), cap=LONGEST)
        keep = response.isclosed() and not response.will_close
        return HttpAnswer(response.status, body, asked)
    finally:
        if keep:
            idle.put(wire)
        else:
            wire.hang_up()


def _ask(wire: Wire, request: _Request, *, reused: bool) -> http.client.HTTPResponse:
    try:
        wire.connection.request("POST", request.path, request.body, dict(request.headers))
        return wire.connection.getresponse()
    except (ConnectionError, http.client.RemoteDisconnected) as error:
        if reused:
            raise _Stale from error
        raise


def _body(response: http.client.HTTPResponse) -> bytes:
    """What came of it in time: whoever sent a status has answered, whatever becomes of the rest."""
    try:
        return response.read(_ANSWER_BYTES)
    except (OSError, http.client.HTTPException):
        return b""
