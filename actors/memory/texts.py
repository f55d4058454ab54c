"""Texts of memories and candidates, encrypted with a key of the user's own, which is sealed by the installation's.

    users.data_key              = callboard.seal(data key), the data key being 32 random bytes:
                                  00 "cb1", first 4 bytes of SHA-256(installation's key), nonce of 12 bytes,
                                  AES-256-GCM(installation's key, nonce, data key) with its tag of 16: 68 bytes in all
    memories.text_ciphertext,   = 01, nonce of 12 bytes, AES-256-GCM(data key, nonce, text in UTF-8,
    memory_candidates.              associated data: the 16 bytes of the user's id) with its tag of 16:
    content_ciphertext            29 bytes longer than the text
    memories.content_hash,      = HMAC-SHA256(data key, text in UTF-8) in hexadecimal: equal texts of one user are
    source_input_hash             found, and nobody without the key can try guesses

The installation's keys are `CALLBOARD_SECRET_KEYS`, 32 bytes each in base64; the first one seals. Without its data key
a text is lost for good, which is how all texts of a user are erased at once.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, NamedTuple, Self

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA

from callboard import PermanentError, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from sqlalchemy import Connection

_VERSION = b"\x01"
_NONCE, _TAG = 12, 16
_HEAD = len(_VERSION) + _NONCE
_KEY_BYTES = 32

_KEYS = text("select id, data_key from memory.users where id = any(:ids) and data_key is not null").bindparams(
    bindparam("ids", type_=ARRAY(Uuid))
)
# In order of the ids, so that two who make keys for the same users wait for one another instead of forever.
_LACKING = text("""
select id from memory.users where id = any(:ids) and data_key is null and deleted_at is null
order by id for no key update
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))
_MAKE = text("""
update memory.users u set data_key = n.data_key
from unnest(cast(:ids as uuid[]), cast(:keys as bytea[])) as n(id, data_key)
where u.id = n.id
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("keys", type_=ARRAY(BYTEA)))


class Unreadable(PermanentError):  # noqa: N818 - what the text is
    """A text cannot be opened: it was changed, belongs to somebody else, or its user's key is gone."""


class _Key(NamedTuple):
    data: bytes
    cipher: AESGCM


class Keyring:
    """The data keys of some users, in memory for as long as this object is."""

    def __init__(self, keys: Mapping[UUID, bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an import of 20 ms

        self._keys = {user: _Key(key, AESGCM(key)) for user, key in keys.items()}

    @classmethod
    def of(cls, connection: Connection, user_ids: Iterable[UUID]) -> Self:
        """The keys of these users; whoever has none yet gets one in the caller's transaction.

        Left out are users who do not exist, who were deleted together with their key, or whose key is damaged: their
        texts are unreadable, which the others' are not.

        Raises:
            PermanentError: This installation has no key to seal data keys with, or none that opens any of them.
        """
        ids = sorted(set(user_ids))
        sealed = _kept_keys(connection, ids)
        if missing := [user for user in ids if user not in sealed]:
            sealed |= _make_keys(connection, missing)
        return cls(_opened(sealed))

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._keys

    def encrypt(self, user_id: UUID, text: str) -> bytes:
        """The text as its column keeps it.

        Raises:
            Unreadable: The user has no key here.
        """
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._of(user_id).cipher.encrypt(nonce, _encoded(text), user_id.bytes)

    def decrypt(self, user_id: UUID, data: bytes) -> str:
        """The text that was encrypted.

        Raises:
            Unreadable: See there.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see above

        cipher = self._of(user_id).cipher
        if len(data) < _HEAD + _TAG or not data.startswith(_VERSION):
            raise Unreadable(f"A text of user {user_id} is none: {len(data)} bytes, and not in the format of texts.py.")
        try:
            plain = cipher.decrypt(data[len(_VERSION) : _HEAD], data[_HEAD:], user_id.bytes)
        except InvalidTag:
            raise Unreadable(f"A text of user {user_id} was changed, or encrypted with another key.") from None
        return plain.decode("utf-8", "surrogatepass")

    def hash(self, user_id: UUID, text: str) -> str:
        """What equal texts of the user have in common: 64 hexadecimal digits.

        Raises:
            Unreadable: The user has no key here.
        """
        return hmac.digest(self._of(user_id).data, _encoded(text), "sha256").hex()

    def _of(self, user_id: UUID) -> _Key:
        try:
            return self._keys[user_id]
        except KeyError:
            raise Unreadable(
                f"No data key of user {user_id} is here: the user is unknown, was deleted together with it, or it is "
                "sealed with a key that is missing in CALLBOARD_SECRET_KEYS."
            ) from None


def _kept_keys(connection: Connection, user_ids: list[UUID]) -> dict[UUID, bytes]:
    return {user: bytes(key) for user, key in connection.execute(_KEYS, {"ids": user_ids})}


def _make_keys(connection: Connection, user_ids: list[UUID]) -> dict[UUID, bytes]:
    """Keys for those who still have none once their rows are locked; and what others made in the meantime."""
    lacking = connection.scalars(_LACKING, {"ids": user_ids}).all()
    if lacking:
        made = [seal(os.urandom(_KEY_BYTES)) for _ in lacking]
        connection.execute(_MAKE, {"ids": lacking, "keys": made})
    return _kept_keys(connection, user_ids)


def _opened(sealed: Mapping[UUID, bytes]) -> dict[UUID, bytes]:
    opened: dict[UUID, bytes] = {}
    errors: list[PermanentError] = []
    for user, key in sealed.items():
        try:
            opened[user] = unseal(key)
        except PermanentError as error:
            errors.append(error)
    if errors and not opened:
        raise errors[0]
    return opened


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
