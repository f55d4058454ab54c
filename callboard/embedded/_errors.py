"""What can go wrong with the embedded servers.

CallboardError
+-- EmbeddedError
    +-- HomeInUseError
LookupError
+-- ServerSilentError
"""

from __future__ import annotations

from callboard.errors import CallboardError


class EmbeddedError(CallboardError):
    """An embedded server cannot be started; the message names the mend."""


class HomeInUseError(EmbeddedError):
    """Another living process owns the servers of this folder."""


class ServerSilentError(LookupError):
    """The folder has an embedded server, and it does not answer; the message says what happens now."""
