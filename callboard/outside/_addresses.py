"""Which addresses may be called."""

from __future__ import annotations

import ipaddress
import socket

from callboard.errors import PermanentError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotPublic(PermanentError):  # noqa: N818 - what the host is
    """A host has no address of the public internet."""


def usable(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host that may be called.

    Raises:
        NotPublic: There is none.
        OSError: The name cannot be looked up.
    """
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    fit = [each for each in found if allow_private or is_public(each)]
    if not fit:
        raise NotPublic(f"{host} is {', '.join(sorted(set(found)))}, which is no public address.")
    return fit


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
