"""Secrets that a catalogue keeps in its own tables, sealed by the installation's key; see `callboard.ledger.seal`.

Unlike the ledger, which keeps a message as it is where there is no key, nothing here is ever kept in the open.
"""

from __future__ import annotations

from callboard.errors import PermanentError, SealedMessage
from callboard.ledger import seal as _seal
from callboard.settings import get_settings


def seal(secret: bytes) -> bytes:
    """What to keep of a secret: 36 bytes longer than it, and different each time.

    Raises:
        PermanentError: This installation has no key; the message names the setting.
    """
    if not _seal.is_sealing(get_settings()):
        raise PermanentError(
            "Secrets are kept sealed, and this installation has no key for that: set CALLBOARD_SECRET_KEYS, alike for "
            "all processes; `openssl rand -base64 32` makes one."
        )
    return _seal.close(secret)


def unseal(kept: bytes) -> bytes:
    """The secret that was sealed.

    Raises:
        PermanentError: It was never sealed, or none of the keys here opens it; the message names the setting.
    """
    if not _seal.is_sealed(kept):
        raise PermanentError("What should be a sealed secret is none; keep what `callboard.seal` gives.")
    try:
        return _seal.unseal(kept)
    except SealedMessage as error:
        raise PermanentError(str(error)) from None
