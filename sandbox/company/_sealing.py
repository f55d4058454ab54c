"""Keys and ciphertexts in the format that the memory catalogue documents, made by its description alone.

sealed     = 00 "cb1", first 4 bytes of SHA-256(installation's key), nonce of 12, AES-256-GCM(key, nonce, payload)
data key   = 32 random bytes, kept sealed
ciphertext = 01, nonce of 12, AES-256-GCM(data key, nonce, text, associated data: 16 bytes of the user's id)
hash       = HMAC-SHA256(data key, text), in hexadecimal
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from uuid import UUID

_NONCE, _TAG = 12, 16


class Sealer:
    """The installation; without a key what it seals is noise of the same length."""

    def __init__(self, key: bytes | None) -> None:
        self.has_key = key is not None
        key = key or os.urandom(32)
        self._head, self._cipher = b"\x00cb1" + sha256(key).digest()[:4], AESGCM(key)

    def seal(self, payload: bytes) -> bytes:
        """A secret as its column keeps it."""
        nonce = os.urandom(_NONCE)
        return self._head + nonce + self._cipher.encrypt(nonce, payload, None)


class UserKey:
    """One user's data key."""

    def __init__(self, user: UUID) -> None:
        self._data, self._owner = os.urandom(32), user.bytes
        self._cipher = AESGCM(self._data)

    def sealed(self, sealer: Sealer) -> bytes | None:
        """For `users.data_key`; None where nobody could open it, so that the catalogue makes another."""
        return sealer.seal(self._data) if sealer.has_key else None

    def encrypt(self, text: str) -> bytes:
        """The text as its column keeps it."""
        nonce = os.urandom(_NONCE)
        return b"\x01" + nonce + self._cipher.encrypt(nonce, text.encode(), self._owner)

    def hash(self, text: str) -> str:
        """What equal texts of the user have in common."""
        return hmac.digest(self._data, text.encode(), "sha256").hex()
