"""Claude Code: `<encoded project>/<session>.jsonl`, subagents in `agent-<id>.jsonl` beside or below their session."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from actors.sessions.adapters import _folders, _lines, _text
from actors.sessions.adapters._model import Conversation, Message, Session, record_of
from actors.sessions.reader import is_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.sessions.adapters._model import Limits, Listing, Slice, Source
    from actors.sessions.reader import FileState

_AGENT = "agent-"
_NOT_KEPT = re.compile(r"[^A-Za-z0-9]")


class ClaudeAdapter:
    """Reads the session files of Claude Code."""

    name = "claude"

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> Listing:
        """All session files, and those of subagents one or two folders further down."""
        listing = _folders.begin(self.root)
        for project in _folders.entries(self.root, listing):
            for entry in _folders.entries(project.path, listing):
                if entry.name.endswith(".jsonl"):
                    _folders.add(listing, entry, project.name)
                elif "." not in entry.name:
                    _list_subagents(listing, entry.path, project.name)
        return listing

    def is_unchanged(self, source: Source, state: FileState | None, limits: Limits) -> bool:
        """True if the file is as it was, and its last line was taken or may still grow."""
        return is_unchanged(state, source.stamp, settled=limits.settled(source.stamp.mtime_ns))

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:
        """The lines since `state`."""
        return _lines.read_lines(source, state, limits, lambda kept: ClaudeParser(source, kept))


def _list_subagents(listing: Listing, session: str, project: str) -> None:
    for entry in _folders.entries(f"{session}/subagents", listing):
        if entry.name.endswith(".jsonl"):
            _folders.add(listing, entry, project)


class ClaudeParser:
    """Turns lines into one session's messages; carries the session's name and folder from slice to slice."""

    def __init__(self, source: Source, kept: str) -> None:
        self._stem = source.path.stem
        self._folder = source.project
        self._carried: dict[str, str] = _text.decode(kept.encode()) if kept else {}
        self._talk: Conversation | None = None

    def feed(self, record: dict[str, Any], line: bytes) -> bool:
        """Take one line; True if it was a message."""
        content = _CONTENT.get(record.get("type", ""))
        if content is None:
            return False
        talk = self._conversation(record)
        given = record.get("uuid")
        timestamp = _text.iso(record.get("timestamp"))
        kind, model, tool, call, text, full = content(record)
        # Without a uuid the whole line is the identity: message.id is shared by all lines of one streamed answer.
        uuid = _text.message_uuid(given, talk.session.session_id, timestamp, kind, "" if given else line)
        talk.messages.append(Message(uuid, kind, timestamp, model, tool, call, text, full, line))
        if kind == "user" and text:
            talk.session.continues.update(_text.continues(text))
        if model:
            talk.session.model = model
        return True
