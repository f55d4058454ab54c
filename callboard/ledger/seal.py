"""What the ledger keeps that must not be read by whoever reads its tables: whole messages, sealed by AES-256-GCM.

Only messages are sealed, since only they hold what redaction hides: a durable run's while it is pending, and those of
dead letters. The keys are `CALLBOARD_SECRET_KEYS`, or the file `secret.key` under CALLBOARD_HOME, which `callboard up`
makes. Without either, messages are kept as they are, and `callboard check` says so.

    sealed = 00 "cb1", first 4 bytes of the key's SHA-256, nonce of 12 bytes, ciphertext with its tag of 16
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from callboard.errors import SealedMessage
from callboard.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from pydantic import SecretStr

    from callboard.settings import Settings

#: What no message begins with: those are JSON.
_MARK = b"\x00cb1"
_ID, _NONCE = 4, 12
_HEAD = len(_MARK) + _ID + _NONCE
_KEY_BYTES = 32
KEY_FILE = "secret.key"


def seal(payload: bytes) -> bytes:
    """A message as the ledger keeps it; as it is when there is no key, or when it is sealed already."""
    if not payload or is_sealed(payload) or not is_sealing(get_settings()):
        return payload
    return close(payload)


def close(payload: bytes) -> bytes:
    """The bytes sealed by the first key, which must be there."""
    name, cipher = next(iter(_ring_of(get_settings()).items()))
    nonce = os.urandom(_NONCE)
    return _MARK + name + nonce + cipher.encrypt(nonce, payload, None)


def unseal(kept: bytes) -> bytes:
    """The message that was sealed; what is not sealed comes back as it is.

    Raises:
        SealedMessage: None of the keys here opens it.
    """
    if not is_sealed(kept):
        return kept
    name, nonce, text = kept[len(_MARK) :][:_ID], kept[_HEAD - _NONCE : _HEAD], kept[_HEAD:]
    cipher = _ring_of(get_settings()).get(name)
    if cipher is None:
        raise SealedMessage(
            f"The message was sealed with the key {name.hex()}, which is not here; add it to CALLBOARD_SECRET_KEYS, "
            "behind the one that new messages are sealed with."
        )
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only where something is sealed

    try:
        return cipher.decrypt(nonce, text, None)
    except InvalidTag:
        raise SealedMessage(f"The message sealed with the key {name.hex()} was changed since; it is lost.") from None


def is_sealed(kept: bytes) -> bool:
    """Whether it looks like what `close` makes."""
    return kept.startswith(_MARK) and len(kept) >= _HEAD


def is_sealing(settings: Settings) -> bool:
    """Whether there is a key."""
    return bool(_ring_of(settings))


def make_key_file(home: Path) -> None:
    """Make the file with a key, readable by its owner only, unless it is there."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / KEY_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(b64encode(os.urandom(_KEY_BYTES)) + b"\n")
    _ring.cache_clear()


def _ring_of(settings: Settings) -> dict[bytes, AESGCM]:
    return _ring(settings.secret_keys, settings.home)


@lru_cache(maxsize=8)
def _ring(given: tuple[SecretStr, ...], home: Path) -> dict[bytes, AESGCM]:
    """The ciphers by the beginning of their key's hash; the first one seals."""
    keys = [b64decode(key.get_secret_value()) for key in given] or _from_file(home)
    if not keys:
        return {}
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an import of 20 ms

    return {sha256(key).digest()[:_ID]: AESGCM(key) for key in keys}


def _from_file(home: Path) -> list[bytes]:
    try:
        return [b64decode((home / KEY_FILE).read_bytes())]
    except FileNotFoundError:
        return []
