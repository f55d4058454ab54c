"""One POST without a detour: no redirects, no proxies, and to the very address that was looked at.

Not by httpx: it logs URLs and traces them, and a bot's token is part of one.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from callboard.errors import PermanentError, TransientError
from callboard.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS = 15.0
_ANSWER_BYTES = 65_536
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"https": 443, "http": 80}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `retry_after` is in seconds, where the server said any."""

    status: int
    body: bytes
    retry_after: float | None = None


class _Asked(Exception):  # noqa: N818 - it carries a header to where headers are read
    def __init__(self, told: str | None) -> None:
        super().__init__()
        self.retry_after = told


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> Answer:
    """Send `body` to `url`; no error tells more of the URL than its host.

    Args:
        url: Where to; `http` and `https`.
        body: What.
        headers: Besides Content-Length and Host.
        allow_private: Also to addresses that are not of the public internet.

    Raises:
        TransientError: No answer came; the next attempt may get one.
        PermanentError: The host has no public address, or its certificate does not fit.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.sock = _connect(host, port, tls=parts.scheme == "https", allow_private=allow_private)
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        asked = retry_after(_Asked(response.getheader("Retry-After")))
        return Answer(response.status, response.read(_ANSWER_BYTES), asked)
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"{host}: its certificate does not fit: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{host} cannot be reached: {error or type(error).__name__}") from None
    finally:
        connection.close()


def _connect(host: str, port: int, *, tls: bool, allow_private: bool) -> socket.socket:
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    usable = [each for each in found if allow_private or is_public(each)]
    if not usable:
        raise PermanentError(
            f"{host} is {', '.join(sorted(set(found)))}, which is no public address; "
            "CALLBOARD_NOTIFY_ALLOW_PRIVATE=true lets webhooks call such ones."
        )
    connected = _first(usable, port)
    try:
        return ssl.create_default_context().wrap_socket(connected, server_hostname=host) if tls else connected
    except BaseException:
        connected.close()
        raise


def _first(addresses: list[str], port: int) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), TIMEOUT_SECONDS / 2)
        except OSError:  # the next one may answer
            continue
    return socket.create_connection((addresses[-1], port), TIMEOUT_SECONDS)


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, also where an IPv6 address stands for an IPv4 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return all(each.is_global and not each.is_multicast for each in (address, *_within(address)))


def _within(address: _Address) -> list[_Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    teredo = address.teredo or ()
    nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return [each for each in (address.ipv4_mapped, address.sixtofour, nat64, *teredo) if each is not None]
