"""Passwords: argon2id with the defaults of argon2-cffi (RFC 9106, low memory: 64 MiB), renewed when those change."""

from __future__ import annotations

import threading
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from callboard.errors import Invalid, Unsupported

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST_CHARACTERS, MOST_CHARACTERS = 12, 1024
# Each takes 64 MiB and four threads: many at once would serve nobody sooner.
_AT_ONCE = threading.BoundedSemaphore(2)


@lru_cache(maxsize=1)
def hasher() -> PasswordHasher:
    """The one hasher of this process. Tests may put another function in its place, to hash with less work.

    Raises:
        Unsupported: argon2-cffi is not installed.
    """
    try:
        from argon2 import PasswordHasher  # noqa: PLC0415 - an extra: accounts are imported without it
    except ImportError:
        raise Unsupported("Passwords need argon2-cffi: pip install 'callboard[console]'.") from None
    return PasswordHasher()


def hashed(password: str) -> str:
    """The hash of a password that is long enough.

    Raises:
        Invalid: It is too short or too long.
    """
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise Invalid(
            "password",
            f"password has {len(password)} characters; it needs {LEAST_CHARACTERS} to {MOST_CHARACTERS}.",
        )
    with _AT_ONCE:
        return hasher().hash(_same(password))


def fits(known: str | None, password: str) -> bool:
    """Whether it is the password; without a hash to compare with, the same work is done for nothing."""
    nobodys = _nobodys()
    with _AT_ONCE:
        same = _verified(nobodys if known is None else known, _same(password[: MOST_CHARACTERS + 1]))
    return same and known is not None


def _verified(known: str, password: str) -> bool:
    work = hasher()
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - an extra, see `hasher`

    try:
        return work.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(known: str) -> bool:
    """Whether the hash was made with other parameters than those of today."""
    return hasher().check_needs_rehash(known)


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return hasher().hash("the password of nobody")


def _same(password: str) -> str:
    """One spelling of what looks the same: keyboards differ in how they compose an é."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "backslashreplace").decode()
