"""The files that ship with the console. A file's URL holds a hash of its bytes, so a browser keeps it for good."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HASH_DIGITS = 12


class Asset(NamedTuple):
    """One file: its bytes plain and compressed."""

    media_type: str
    plain: bytes
    packed: bytes
    version: str


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Every file by its path below `static/`, read once."""
    return {path.relative_to(ROOT).as_posix(): _read(path) for path in sorted(ROOT.rglob("*")) if path.suffix in _TYPES}


def url(name: str) -> str:
    """Where a file is served: `/static/<hash>/board.css`.

    Raises:
        KeyError: There is no such file.
    """
    return f"/static/{assets()[name].version}/{name}"


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    version = hashlib.sha256(plain).hexdigest()[:_HASH_DIGITS]
    return Asset(_TYPES[path.suffix], plain, gzip.compress(plain, 9, mtime=0), version)
