"""Free ports."""

from __future__ import annotations

import socket


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """`wanted`, if a server could listen there now, else one that the system picks.

    Raises:
        OSError: `host` is no address of this machine.
    """
    try:
        return _bind(wanted, host)
    except OSError:
        return _bind(0, host)


def is_free(port: int, host: str) -> bool:
    """Whether a server could listen there now."""
    try:
        return bool(_bind(port, host))
    except OSError:
        return False


def _bind(port: int, host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: connections that linger do not matter
        probe.bind((host, port))
        probe.listen(1)  # with SO_REUSEADDR, bind alone may succeed beside a listener
        return int(probe.getsockname()[1])
