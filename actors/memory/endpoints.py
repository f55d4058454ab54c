"""What owners say of the systems outside that are sent something: addresses and signing secrets."""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, urlsplit

_LEAST, _MOST = 24, 64


def require_url(url: str) -> None:
    """Make sure that something can be sent there.

    Raises:
        ValueError: It is no address of http or https, or has a password in it; the message shows none.
    """
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError(f"url: {parts.scheme}://{parts.hostname} must be http or https, with a host and no password.")


def require_secret(secret: str) -> None:
    """Make sure that it signs, as Standard Webhooks say.

    Raises:
        ValueError: It does not; the message does not show it.
    """
    try:
        size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not _LEAST <= size <= _MOST:
        raise ValueError(f"secret must be whsec_ and base64 of {_LEAST} to {_MOST} bytes.")


def shown(url: str) -> str:
    """The address without its query, which may be a secret."""
    return url if "?" not in url else f"{url.partition('?')[0]}?…"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}.") from None
    return parts
