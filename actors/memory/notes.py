"""Memories as a prompt shows them: one line each, the texts in the open."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.memory.texts import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from actors.memory.texts import Keyring


class Note(NamedTuple):
    """A memory's text, and what is said of it in brackets."""

    user_id: UUID
    ciphertext: bytes
    created_at: datetime
    remark: str = ""


def lines_of(notes: Iterable[Note], keyring: Keyring, *, longest: int) -> list[str]:
    """Notes as lines, until `longest` characters are full; what cannot be read is left out.

    Line breaks within a text become spaces, so that no text looks like the next note.
    """
    lines: list[str] = []
    room = longest
    for note in notes:
        try:
            words = " ".join(keyring.decrypt(note.user_id, note.ciphertext).split())
        except Unreadable:
            continue
        line = f"- [{note.created_at:%Y-%m-%d}] {note.remark}{words}"[: max(room, 0)]
        if not line:
            break
        lines.append(line)
        room -= len(line) + 1
    return lines
