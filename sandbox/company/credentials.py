"""What the stand-ins let in, which follows from a name alone: whoever calls them can know it without being told."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

#: Of the providers of documents, and of RevenueCat.
ACCESS_TOKEN, REFRESH_TOKEN, API_KEY = "access-0", "refresh-0", "sk_sandbox"


def signing_secret(name: str) -> str:
    """Of a webhook endpoint, as Standard Webhooks wants it."""
    return "whsec_" + b64encode(_digest(name)).decode()


def token(name: str) -> str:
    """Of a system that takes audit rows."""
    return _digest(name).hex()[:32]


def _digest(name: str) -> bytes:
    return sha256(f"sandbox {name}".encode()).digest()
