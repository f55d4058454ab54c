"""Text that stays on its line: no control character, terminal escape or bidirectional override survives."""

from __future__ import annotations

import re

# C0, DEL and C1 controls; line and paragraph separators; bidirectional overrides, which reorder what a terminal
# shows; the byte order mark; lone surrogates, which no UTF-8 stream can write.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_BYTE = 0xFF


def escape(text: str) -> str:
    """Spell unsafe characters with a backslash, as Python would; all others stay as they are."""
    return _UNSAFE.sub(_spell, text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, then how many were left out."""
    left_out = len(text) - limit
    return text if left_out <= 0 else f"{text[:limit]}... ({left_out} more characters)"


def _spell(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code <= _BYTE else f"\\u{code:04x}")
