"""`SHA256SUMS`, the first member of every archive, in the format of GNU sha256sum.

Being first it can be read without unpacking the rest, and `sha256sum --check SHA256SUMS` works on an unpacked archive.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.sessions.archive.container import Readable

NAME = "SHA256SUMS"
_BLOCK = 1024 * 1024
_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)", re.DOTALL)
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_ESCAPED = re.compile(r"\\([\\nr])")
_PLAIN = {"\\": "\\", "n": "\n", "r": "\r"}


def digest(stream: Readable) -> str:
    """SHA-256 of what is left of a stream, in hexadecimal."""
    sha256 = hashlib.sha256()
    while block := stream.read(_BLOCK):
        sha256.update(block)
    return sha256.hexdigest()


def dump(digests: Mapping[str, str]) -> bytes:
    """The file for these digests by name, sorted."""
    return b"".join(_dump_line(name, digests[name]) for name in sorted(digests))


def _dump_line(name: str, sha256: str) -> bytes:
    """A name with a line end or backslash is escaped, and the line marked by a backslash, as sha256sum does."""
    escaped = "".join(_ESCAPES.get(character, character) for character in name)
    mark = "" if escaped == name else "\\"
    return f"{mark}{sha256}  {escaped}\n".encode("utf-8", "surrogateescape")


def parse(content: bytes) -> dict[str, str]:
    """Digests by name.

    Raises:
        ValueError: A line is not in the format.
    """
    digests = {}
    for line in content.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n") if content else ():
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{NAME} has the line {line[:100]!r}")
        mark, sha256, name = match.groups()
        digests[_ESCAPED.sub(lambda found: _PLAIN[found[1]], name) if mark else name] = sha256
    return digests
