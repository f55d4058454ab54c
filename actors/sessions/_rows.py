"""Messages as the lines of Postgres' COPY text format.

Text is escaped as `str` and the source's JSON as `bytes`, each the quicker of the two; nothing long is held twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from actors.sessions.adapters import Conversation, Message

_NULL = "\\N"


class Place(NamedTuple):
    """Where a session's messages go: the row of the session, and the last sequence it holds."""

    id: int
    last: int


def copy_rows(talks: Iterable[Conversation], places: Mapping[str, Place], *, keep_raw: bool) -> Iterator[bytes]:
    """The lines of the copy, in the column order of the staging table."""
    ordinal = 0
    for talk in talks:
        place, source = places[talk.session.session_id], talk.session.source
        for message in talk.messages:
            ordinal += 1
            head = f"{ordinal}\t{place.id}\t{place.last}\t{source}\t{_facts(message)}\t".encode()
            text = _escaped(message.text).encode()
            full = text if message.full is message.text else _escaped(message.full).encode()
            raw = _escaped_bytes(message.raw) if keep_raw else _NULL.encode()
            yield b"".join((head, text, b"\t", full, b"\t", raw, b"\n"))


def _facts(message: Message) -> str:
    uuid, kind, timestamp, *names, _, _, _ = message
    model, tool, call = (_NULL if name is None else _escaped(name) for name in names)
    return f"{uuid}\t{kind}\t{timestamp or _NULL}\t{model}\t{tool}\t{call}"


def _escaped(value: str) -> str:
    """A value as COPY's text format wants it; Postgres holds no NUL, so that becomes the replacement character."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\x00" in value:
        value = value.replace("\x00", "\ufffd")
    return value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _escaped_bytes(value: bytes) -> bytes:
    """The same for JSON in UTF-8, which holds no NUL."""
    value = value.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    return value.replace(b"\t", b"\\t").replace(b"\r", b"\\r")
