"""Which names hold a secret: read as words, so that `apiKey`, `X-API-Key` and `api_key` are one."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    ["bearer", "conninfo", "cookie", "cookies", "dsn", "jwt", "otp", "pwd", "token", "tokens"],
)
# Found anywhere in the name with its separators taken out (`PGPASSWORD`, `clientsecret`, `xapikey`).
_SECRET_PARTS = re.compile(
    r"password|passwd|passphrase|secret|apikey|accesskey|authkey|accountkey|encryptionkey|masterkey|privatekey"
    r"|sharedkey|signingkey|sshkey|authorization|credential|accesstoken|authtoken|bottoken|refreshtoken"
)
_SECRET_NAMES = frozenset(["auth", "pass"])
# `token_count` and `token_usages` tell how much, not what.
_AMOUNTS = frozenset(["budget", "count", "limit", "limits", "rate", "total", "type", "usage", "usages"])
# Of a longer name only this much is read at each end, so that the cache holds no long strings.
_END = 128


def is_secret_key(key: str) -> bool:
    """Whether values under this name are to be hidden, whatever they are."""
    return _is_secret(key if len(key) <= 2 * _END else f"{key[:_END]}_{key[-_END:]}")


@lru_cache(maxsize=4096)
def _is_secret(key: str) -> bool:
    words = _words(key)
    if not words or words[-1] in _AMOUNTS:
        return False
    joined = "".join(words)
    return joined in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(words) or bool(_SECRET_PARTS.search(joined))


def hides(key: str, value: object) -> bool:
    """Whether `value` is to be hidden under `key`.

    Nothing is hidden where nothing is to be known (None, "", a boolean), nor a number of language model tokens
    (`prompt_tokens=37`).
    """
    if value is None or isinstance(value, bool) or (isinstance(value, str) and not value):
        return False
    return is_secret_key(key) and not (_is_number(value) and "tokens" in _words(key))


def _words(key: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(key)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal())
