"""Channels other than mail: names for URLs, which hold secrets and are therefore told by their names alone.

ops=tgram://123456789:AAE...xyz/-1001234       Telegram: the bot's token, and one chat
hook=https://hooks.example.org/jobs#whsec_...  a webhook, signed by Standard Webhooks with that secret
chat=slack://TokenA/TokenB/TokenC              whatever else Apprise can do
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

Kind = Literal["telegram", "webhook", "apprise"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TELEGRAM = re.compile(r"tgram://(?P<token>[0-9]+:[A-Za-z0-9_-]+)/(?P<chat>-?[0-9]+|@\w+)/?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://.")
_SECRET = "whsec_"  # noqa: S105 - the prefix of every secret
_SECRET_BYTES = range(24, 65)  # Standard Webhooks, "Signature scheme"


@dataclass(frozen=True, slots=True)
class Channel:
    """One of the channels that the settings name; `url` is secret."""

    name: str
    kind: Kind
    url: str

    @property
    def fingerprint(self) -> str:
        """What tells its URL from another, and does not tell the URL."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def chat(self) -> tuple[str, str]:
        """The token of the bot, and the chat it writes to; Telegram's only."""
        found = _TELEGRAM.fullmatch(self.url)
        return ("", "") if found is None else (found["token"], found["chat"])

    @property
    def endpoint(self) -> tuple[str, str]:
        """The URL that is called, and the secret that signs; a webhook's only."""
        url, _, secret = self.url.partition("#")
        return url, secret


def parse(text: str) -> dict[str, str]:
    """URLs by name: `ops=tgram://...; hook=https://...#whsec_...`.

    Raises:
        ValueError: One does not fit; the message has the channel's name and not its URL.
    """
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    found = {name.strip(): url.strip() for name, _, url in pairs}
    for name, url in found.items():
        _check(name, url)
    if len(found) < len(pairs):
        raise ValueError("two channels have the same name; give each its own.")
    return found


def channels(urls: Mapping[str, SecretStr]) -> dict[str, Channel]:
    """The channels of the settings, by name."""
    plain = {name: secret.get_secret_value() for name, secret in urls.items()}
    return {name: Channel(name, _kind(url), url) for name, url in plain.items()}


def _kind(url: str) -> Kind:
    match url.partition("://")[0]:
        case "tgram":
            return "telegram"
        case "http" | "https":
            return "webhook"
        case _:
            return "apprise"


def _check(name: str, url: str) -> None:
    if not _NAME.fullmatch(name) or name == "mail":
        raise ValueError(
            f"channel {name[:32]!r}: a name has lower-case letters, digits, '_' and '-', and is not 'mail'; "
            "write name=URL, and ';' between two."
        )
    if not _SCHEME.match(url):
        raise ValueError(f"channel {name!r} needs a URL after the '=', such as tgram://TOKEN/CHAT.")
    kind = _kind(url)
    if kind == "telegram" and not _TELEGRAM.fullmatch(url):
        raise ValueError(f"channel {name!r} must look like tgram://123456789:TOKEN/CHAT, with one chat.")
    if kind == "webhook":
        _check_webhook(name, url)


def _check_webhook(name: str, url: str) -> None:
    try:
        host = urlsplit(url).hostname
        key = base64.b64decode(urlsplit(url).fragment.removeprefix(_SECRET), validate=True)
    except (ValueError, binascii.Error):
        host, key = None, b""
    if not host or len(key) not in _SECRET_BYTES or f"#{_SECRET}" not in url:
        raise ValueError(
            f"channel {name!r} must look like https://host/path#whsec_SECRET; the secret is 24 to 64 random bytes in "
            "base64: openssl rand -base64 32"
        )
