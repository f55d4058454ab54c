"""The Postgres and the Valkey of the default setup: two servers that live in one folder and need no installation.

    EmbeddedServers(home).start() -> Endpoints     this process owns the servers, they end with it
    read_endpoints(home) -> Endpoints | None       another process, another terminal: where they are, if they answer
    database_of(home), broker_of(home)             one of the two alone, whatever becomes of the other

Both servers are children of their owner, in sessions of their own (Ctrl-C reaches the owner alone, which stops them
last), reachable by their user only: Postgres on a unix socket in a private folder, Valkey on loopback with a password.
"""

from __future__ import annotations

from callboard.embedded._endpoints import Endpoints, broker_of, database_of, read_endpoints
from callboard.embedded._errors import EmbeddedError, HomeInUseError, ServerSilentError
from callboard.embedded._servers import EmbeddedServers

__all__ = [
    "EmbeddedError",
    "EmbeddedServers",
    "Endpoints",
    "HomeInUseError",
    "ServerSilentError",
    "broker_of",
    "database_of",
    "read_endpoints",
]
