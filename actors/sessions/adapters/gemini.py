"""Gemini: `<hash>/chats/session-*.json`, one document a session, rewritten at every turn.

The project is known by the hash of its path alone, and recorded as `gemini:<hash>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.sessions.adapters import _folders, _text
from actors.sessions.adapters._documents import OversizedError, read_document
from actors.sessions.adapters._lines import BAD_INPUT
from actors.sessions.adapters._model import Conversation, Message, Session, Slice, record_of
from actors.sessions.reader import FileState, Stamp, is_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.sessions.adapters._model import Limits, Listing, Source

_KINDS = {"user": "user", "gemini": "assistant"}


class GeminiAdapter:
    """Reads the chats of the Gemini command-line tool."""

    name = "gemini"

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> Listing:
        """All chats."""
        listing = _folders.begin(self.root)
        for project in _folders.entries(self.root, listing):
            for entry in _folders.entries(f"{project.path}/chats", listing):
                if entry.name.startswith("session-") and entry.name.endswith(".json"):
                    _folders.add(listing, entry, project.name)
        return listing

    def is_unchanged(self, source: Source, state: FileState | None, limits: Limits) -> bool:  # noqa: ARG002 - Adapter's
        """True if the file is as it was; a document found damaged is tried again when it changes."""
        return is_unchanged(state, source.stamp, settled=False)

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:  # noqa: ARG002 - Adapter's
        """The whole chat, in slices: any of its messages may have changed."""
        part = Slice(source, FileState(source.stamp, source.stamp.size))
        try:
            document = read_document(source.path, limits.max_document)
            yield from _slices(source, document, limits)
        except OversizedError as error:
            part.oversized, part.complaint = 1, str(error)
        except BAD_INPUT as error:
            part.rejected, part.complaint = 1, str(error)
        yield part


def _slices(source: Source, document: dict[str, Any], limits: Limits) -> Iterator[Slice]:
    """The messages of a document, which is taken apart on the way so that it is never held twice."""
    name = _text.name(document.get("sessionId")) or source.stem
    session = Session(name, "gemini", f"gemini:{source.project}", source.project)
    records = document["messages"][::-1]
    document.clear()
    part = _new_slice(source, session)
    while records:
        _take(part, records.pop())
        if part.messages >= limits.slice_messages or part.size >= limits.slice_bytes:
            yield part
            part = _new_slice(source, session)
    yield part


def _new_slice(source: Source, session: Session) -> Slice:
    unfinished = FileState(Stamp(source.stamp.inode, 0, 0))
    return Slice(source, unfinished, [Conversation(session, revisable=True)])


def _take(part: Slice, record: dict[str, Any]) -> None:
    try:
        _keep(part.conversations[0], record, part)
    except BAD_INPUT as error:
        part.rejected += 1
        part.complaint = part.complaint or f"message {record_of(record).get('id')}: {error}"


def _keep(talk: Conversation, record: dict[str, Any], part: Slice) -> None:
    kind = _KINDS.get(record["type"])
    if kind is None:
        part.skipped += 1
        return
    session, timestamp = talk.session, _text.iso(record.get("timestamp"))
    text, raw, calls = _content(record.get("content")), _text.encode(record), record.get("toolCalls") or []
    full = _text.join([*map(_thought, record.get("thoughts") or []), text, *(b for call in calls for b in _call(call))])
    uuid = _text.message_uuid(record.get("id"), session.session_id, timestamp, kind, raw)
    model = _text.name(record.get("model"))
    tool = _text.name(calls[0].get("name")) if calls else None
    call_id = _text.name(calls[0].get("id")) if calls else None
    talk.messages.append(Message(uuid, kind, timestamp, model, tool, call_id, text, full, raw))
    part.size += len(raw)
    session.model = model or session.model
    if kind == "user":
        session.continues.update(_text.continues(text))


def _content(content: Any) -> str:  # noqa: ANN401 - text, a part, or a list of both
    if isinstance(content, list):
        return _text.join([_content(part) for part in content])
    return content if isinstance(content, str) else _text.show(record_of(content).get("text"))


def _thought(thought: dict[str, Any]) -> str:
    return _text.thinking(": ".join(str(thought[key]) for key in ("subject", "description") if thought.get(key)))


def _call(call: dict[str, Any]) -> list[str]:
    shown = call.get("resultDisplay")
    result = shown if isinstance(shown, str) else _text.show(call.get("result"))
    failed = call.get("status") in {"error", "cancelled"}
    blocks = [_text.tool_call(str(call["name"]), call.get("args"))]
    return [*blocks, _text.tool_result(result, failed=failed)] if result or failed else blocks
