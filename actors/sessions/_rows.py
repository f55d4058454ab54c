"""Messages as the lines of Postgres' COPY text format."""

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


def copy_rows(talks: Iterable[Conversation], places: Mapping[str, Place], *, keep_raw: bool) -> Iterator[str]:
    """The lines of the copy, in the column order of the staging table."""
    ordinal = 0
    for talk in talks:
        place = places[talk.session.session_id]
        for message in talk.messages:
            ordinal += 1
            start = f"{ordinal}\t{place.id}\t{place.last}\t{message.uuid}\t{message.type}\t{message.timestamp or _NULL}"
            raw = _escaped(message.raw.decode()) if keep_raw else _NULL
            texts = f"{_escaped(message.text)}\t{_escaped(message.full)}\t{raw}"
            yield f"{start}\t{_names(message)}\t{texts}\t{talk.session.source}\n"


def _names(message: Message) -> str:
    return "\t".join(
        _NULL if name is None else _escaped(name) for name in (message.model, message.tool_name, message.tool_call_id)
    )


def _escaped(value: str) -> str:
    """A value as COPY's text format wants it; Postgres holds no NUL, so that becomes the replacement character."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\x00" in value:
        value = value.replace("\x00", "\ufffd")
    return value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
