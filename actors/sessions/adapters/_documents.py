"""Files that are one JSON document each: read whole, up to a size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.sessions.adapters._text import decode

if TYPE_CHECKING:
    from pathlib import Path


class OversizedError(ValueError):
    """A document longer than what may be held in memory."""


def read_document(path: Path, most: int) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        OversizedError: It is longer than `most` bytes; no more than that was read.
        ValueError, TypeError: It is no JSON object in UTF-8; perhaps it is being written.
        OSError: It cannot be read, or is gone.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OversizedError(f"longer than {most} bytes, see CALLBOARD_SESSIONS_MAX_DOCUMENT_BYTES")
    return decode(content)
