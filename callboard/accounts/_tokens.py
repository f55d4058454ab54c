"""Random secrets: given out once, kept as their SHA-256. They are random, so a slow hash would add nothing."""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32


def new_token() -> str:
    """256 random bits as 43 characters of base64url."""
    return secrets.token_urlsafe(_BYTES)


def digest(token: str) -> bytes:
    """What is kept of it, and looked up by: an index tells nothing about secrets that share no prefix with a guess."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()
