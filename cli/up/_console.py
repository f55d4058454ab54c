"""The console of `callboard up`: where it listens, and the link that signs in once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from callboard.accounts import sign_in
from cli.console import missing

if TYPE_CHECKING:
    from callboard.settings import Settings

# So that the whole link fits a terminal of 80 columns; 192 random bits.
_TOKEN_BYTES = 24


class Console:
    """What the screen shows of it. The token is passed on by the environment: a command line can be read by all."""

    def __init__(self, settings: Settings) -> None:
        given, self._settings = settings.console_token, settings
        self._host, self._tls = settings.console_host, settings.console_tls_cert is not None
        self._token = secrets.token_urlsafe(_TOKEN_BYTES) if given is None else given.get_secret_value()
        self.missing = missing()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104 - where that is reached
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    def require_safe(self) -> None:
        """Make sure that it may listen where it is told to: its process would end again and again.

        Raises:
            DeclarationError: It would be heard beyond this machine without TLS.
        """
        if not self.missing:
            from console.server import require_safe  # noqa: PLC0415 - what it needs may be missing

            require_safe(self._settings, self._host)

    def environment(self) -> dict[str, str]:
        """What its process needs to know."""
        return {"CALLBOARD_CONSOLE_TOKEN": self._token, "CALLBOARD_CONSOLE_PORT": str(self.port)}

    def link(self) -> str:
        """The link while nobody has used it; else empty."""
        if self.missing or not sign_in.is_good(self._token):
            return ""
        return sign_in.link_url(self._token, console=self.url)
