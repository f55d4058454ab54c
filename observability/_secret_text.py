"""Secrets inside running text: connection URLs, `key=value`, JSON, headers, flags and well-known token shapes.

Every quantifier that could run over long text is bounded, so that the time stays linear in hostile input.
"""

from __future__ import annotations

import re

from observability._secret_keys import hides, is_secret_key

REDACTED = "[redacted]"

# `://user:password@`. A password with "@" reaches to the last one before the path; one with "/" (SQLAlchemy takes it)
# to the first "@", unless what follows the colon is a port.
_USERINFO = re.compile(
    r"(://[^\s:/@?#]{0,256}:)(?:[^\s/?#]{1,1024}(?=@)|(?!\d{1,5}(?:[/?#]|$))[^\s@]{1,1024}+[^\s/?#]{0,1024}(?=@))",
)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[oprsu]_|github_pat_|glpat-|xox[abeprs]-|sk-|AKIA|eyJ)[A-Za-z0-9_.=-]{16,}"
    r"|(?<![A-Za-z0-9])cb_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"  # a key of our own API
    r"|(?<=[Bb]earer )(?!\[redacted\])[^\s\"',;]{8,}"
)
_TOKEN_HINTS = (
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xox",
    "sk-",
    "AKIA",
    "eyJ",
    "earer ",
    "cb_",
)
_SHORTEST_TOKEN = 15
# One of these is in every name that `is_secret_key` knows.
_KEY_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "cookie",
    "auth",
    "cred",
    "bearer",
    "dsn",
    "conninfo",
    "jwt",
    "otp",
)
# Only key and separator are consumed: a value may itself hold the next key ("error: password=x"). What follows "://"
# is the user of a URL, not a key.
_KEY = re.compile(r"(?<![\w.-])(?<!://)(?P<key>-{0,2}[\w.-]{1,128})\\?[\"']?[ \t]{0,8}(?P<sep>=>|[=:])[ \t]{0,8}")
_FLAG = re.compile(r"(?<![\w-])(?P<key>--?[A-Za-z][\w-]{1,64})(?P<sep>[ \t]{1,8})(?=[^\s-])")
_QUOTED = re.compile(r"[bruBRU]{0,2}(?:\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?)", re.DOTALL)
_GROUP = re.compile(r"[\[({][^\])}]*[\])}]?")
_SCHEME = re.compile(r"(?:Basic|Bearer|Digest|Token|ApiKey)[ \t]+[^\s,;]+", re.IGNORECASE)
_BARE = re.compile(r"(?:[^\s&,;]|[&,;](?![\w.%-]{0,64}=))+")
_REST_OF_LINE = re.compile(r"[^\r\n]+")
_HEADER = re.compile(r"(?:cookie|authorization)$", re.IGNORECASE)


def redact_text(text: str) -> str:
    """`text` with every secret in it replaced by "[redacted]"; idempotent."""
    if "://" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}", text)
    if len(text) >= _SHORTEST_TOKEN and _holds(text, _TOKEN_HINTS):
        text = _TOKEN.sub(REDACTED, text)
    if ("=" in text or ":" in text or "-" in text) and _holds(text.lower(), _KEY_HINTS):
        text = _redact_after(_FLAG, _redact_after(_KEY, text))
    return text


def _holds(text: str, hints: tuple[str, ...]) -> bool:
    # Most text holds no secret, and this takes 1 us where the patterns themselves take 15.
    for hint in hints:  # noqa: SIM110 - any() with a generator takes three times as long
        if hint in text:
            return True
    return False


def _redact_after(keys: re.Pattern[str], text: str) -> str:
    pieces, position = [], 0
    for match in keys.finditer(text):
        if match.start() < position or not is_secret_key(match["key"]):
            continue
        value = _value_after(match, text)
        if value and hides(match["key"], value):
            pieces += [text[position : match.end()], _hidden(value)]
            position = match.end() + len(value)
    return "".join([*pieces, text[position:]])


def _value_after(key: re.Match[str], text: str) -> str:
    patterns = [_QUOTED, _GROUP, _SCHEME, _BARE]
    if key["sep"] == ":" and _HEADER.search(key["key"]):
        patterns = [_QUOTED, _REST_OF_LINE]
    found = (pattern.match(text, key.end()) for pattern in patterns)
    return next((match[0] for match in found if match), "")


def _hidden(value: str) -> str:
    quote = value[-1] if len(value) > 1 and value[-1] in "\"'" and value[0] in "\"'bruBRU" else ""
    return f"{quote}{REDACTED}{quote}"
