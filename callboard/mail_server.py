"""Where mail goes out: `smtp://user:password@host:587?tls=starttls`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Tls = Literal["starttls", "implicit", "none"]

_PORTS: dict[str, int] = {"starttls": 587, "implicit": 465, "none": 25}
_OPTIONS = ("tls", "ca")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server, and how to talk to it.

    Attributes:
        tls: `starttls`, `implicit`, or `none`, which has to be said.
        ca: File of certificates to trust instead of the system's; empty: the system's.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Tls
    ca: str = ""

    @classmethod
    def parse(cls, url: str) -> MailServer:
        """A server from its URL.

        Raises:
            ValueError: It does not fit; the message never holds the URL, which has a password in it.
        """
        parts = _split(url)
        options = dict(parse_qsl(parts.query))
        unknown = next((name for name in options if name not in _OPTIONS), None)
        if unknown is not None:
            raise ValueError(
                f"?{unknown}= is no option of a mail server; there are tls=starttls|implicit|none and ca=."
            )
        tls = options.get("tls", "implicit" if parts.scheme == "smtps" else "starttls")
        if tls not in _PORTS:
            raise ValueError(f"?tls={tls} must be starttls, implicit or none.")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        port = parts.port or _PORTS[tls]
        return cls(parts.hostname or "", port, user, password, cast("Tls", tls), options.get("ca", ""))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            "it must look like smtp://user:password@host:587?tls=starttls or smtps://user:password@host:465; "
            "'@', '/', ':' and '#' in the password are written %40, %2F, %3A and %23."
        )
    return parts
