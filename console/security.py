"""What holds for every answer and every request: headers, cookies, whom a form may come from, which names we answer to.

A page carries no script and no style of its own text, so that what slips into one as markup cannot run.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection
    from starlette.responses import Response

    from callboard.settings import Settings

CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: On every answer. With a stricter referrer policy browsers would send forms with `Origin: null`.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_FIELD: Final = "csrf_token"
#: Where a sign-in begins: no session yet, so no token, but never from another site.
SIGN_IN_PATHS: Final = frozenset({"/sign-in", "/sign-in/link"})

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say of the outside.

    Attributes:
        hosts: Names that a request may call us by, lower case, without the port; anything else is DNS rebinding.
        origin: What people call us from outside, as `https://board.example.org`; empty if that is not said.
        secure: Whether browsers reach us by HTTPS, and a cookie may insist on it.
    """

    hosts: frozenset[str]
    origin: str
    secure: bool

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy of these settings."""
        outside = urlsplit(settings.console_url)
        names = {_bare(outside.netloc), _bare(settings.console_host), *map(_bare, settings.console_hosts)}
        return cls(
            hosts=_LOOPBACK | {name for name in names if name and name not in ("0.0.0.0", "[::]")},  # noqa: S104 - what is left out
            origin=f"{outside.scheme}://{outside.netloc}".lower() if outside.netloc else "",
            secure=settings.console_tls_cert is not None or outside.scheme == "https",
        )

    @property
    def cookie(self) -> str:
        """The session cookie's name; browsers take `__Host-` only by HTTPS, for this host alone and all its paths."""
        return "__Host-callboard" if self.secure else "callboard"

    def knows(self, host: str) -> bool:
        """Whether a request's Host header names us."""
        return _bare(host) in self.hosts

    def same_origin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request was sent by one of our own pages: browsers say so, and a page cannot make them lie."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = headers.get("origin", "").lower()
        return origin != "" and (origin == self.origin or urlsplit(origin).netloc == headers.get("host", "").lower())

    def set_cookie(self, response: Response, token: str) -> None:
        """Give a browser its session: for this browser window's life, unseen by scripts, not sent from other sites."""
        response.set_cookie(self.cookie, token, path="/", secure=self.secure, httponly=True, samesite="lax")

    def drop_cookie(self, response: Response) -> None:
        """Take it away."""
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="lax")


def bearer(request: HTTPConnection) -> str | None:
    """The API key that a request carries; with one, its cookies count for nothing."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def csrf_token(session: str) -> str:
    """What a form of this session must carry: it tells nothing of the session, and nobody without it can make it."""
    digest = hmac.digest(session.encode(), b"callboard: a form of this session", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_csrf_token(given: str, session: str) -> bool:
    """Whether the token belongs to this session."""
    return hmac.compare_digest(given.encode(), csrf_token(session).encode())


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _bare(host: str) -> str:
    """A host without its port, lower case, an IPv6 address in brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        address, _, port = name.rpartition("]")
        return f"{address}]" if port == "" or port.startswith(":") else name
    if name.count(":") > 1:
        return f"[{name}]"
    return name.partition(":")[0].rstrip(".")
