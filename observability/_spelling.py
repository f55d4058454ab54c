"""`key=value` for a person's eyes: bare where that is clear, quoted where it is not, always on one line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from observability._escape import escape, shorten
from observability._plain import Plain, plain, plain_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

# Characters of one value; the JSON lines and the ledger keep more.
_MAX_VALUE = 400
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BARE = re.compile(r"[^\s\"'=\\]+")
_UNUSUAL = re.compile(r"[^\w.\-]+")


def pairs(fields: Mapping[str, object]) -> list[str]:
    """`key=value` of each field; one without a value (None) is left out. Secrets are hidden by their key."""
    known = plain_fields(fields)
    return [f"{_UNUSUAL.sub('_', key) or '_'}={spell(value)}" for key, value in known.items() if value is not None]


def spell(value: Plain) -> str:
    """A value bare, or quoted with JSON's escapes where a reader could mistake its end."""
    text = shorten(_text(value), _MAX_VALUE)
    return text if _BARE.fullmatch(text) and escape(text) == text else quote(text)


def readable(value: object) -> str:
    """Any value as text, unquoted; its secrets are hidden."""
    return shorten(_text(plain(value)), _MAX_VALUE)


def _text(value: Plain) -> str:
    return value if isinstance(value, str) else _encode(value)


def quote(text: str) -> str:
    """In double quotes, with quotes, backslashes and control characters escaped."""
    doubled = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escape(doubled)}"'
