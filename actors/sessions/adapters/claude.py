"""Claude Code: `<encoded project>/<session>.jsonl`, subagents in `agent-<id>.jsonl` beside or below their session."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.sessions.adapters import _folders, _lines, _text
from actors.sessions.adapters._model import Conversation, Message, Session, record_of, storable
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
    """Turns lines into one session's messages; carries the session's identity from slice to slice."""

    def __init__(self, source: Source, kept: str) -> None:
        self._source = source
        self._carried: dict[str, str] = _text.decode(kept.encode()) if kept else {}
        self._talk: Conversation | None = None

    def feed(self, record: dict[str, Any], line: bytes) -> bool:
        """Take one line; True if it was a message."""
        content = _CONTENT.get(record.get("type", ""))
        if content is None:
            return False
        body = content(record)
        session = (self._talk or self._begin(record)).session
        given, timestamp = record.get("uuid"), _text.iso(record.get("timestamp"))
        # Without a uuid the whole line is the identity: message.id is shared by all lines of one streamed answer.
        uuid = _text.message_uuid(given, session.session_id, timestamp, body.kind, "" if given else line)
        self._keep(Message(uuid, body.kind, timestamp, *body[1:], line), record, session)
        return True

    def _begin(self, record: dict[str, Any]) -> Conversation:
        carried = self._carried
        if "session" not in carried:
            carried.update(_identity(self._source, record))
        session = Session(carried["session"], "claude", folder=self._source.project, parent=carried.get("parent"))
        for name, key in (("version", "version"), ("gitBranch", "git_branch"), ("agentId", "agent_id")):
            if value := record.get(name):
                session.meta[key] = str(value)
        session.channel = _text.name(record.get("entrypoint"))
        self._talk = Conversation(session)
        return self._talk

    def _keep(self, message: Message, record: dict[str, Any], session: Session) -> None:
        assert self._talk is not None  # noqa: S101 - _begin was called
        self._talk.messages.append(message)
        if "cwd" not in self._carried and (cwd := record.get("cwd")):
            self._carried["cwd"] = str(cwd)
        if message.model:
            session.model = message.model
        elif message.type == "user":
            session.continues.update(_text.continues(message.text))
        elif record["type"] == "summary":
            session.meta["title"] = message.text

    def drain(self) -> list[Conversation]:
        """The session's messages since the last call; nothing if there were none."""
        talk, self._talk = self._talk, None
        if talk is None:
            return []
        talk.session.cwd = self._carried.get("cwd")
        talk.session.project = project_path(talk.session.cwd, self._source.project)
        return [talk]

    def dump(self) -> str:
        """The session's id, parent and folder."""
        return _text.show(self._carried) if self._carried else ""


def _identity(source: Source, record: dict[str, Any]) -> dict[str, str]:
    """The session's own id, and its parent's if it is a subagent's: agent ids are short, and unique within a parent."""
    stem = source.stem
    if not stem.startswith(_AGENT):
        return {"session": stem}
    nested = source.path.parent.name == "subagents"
    parent = storable(source.path.parent.parent.name) if nested else str(record.get("sessionId") or "")
    return {"session": f"{parent}/{stem}", "parent": parent} if parent else {"session": stem}


def project_path(cwd: str | None, folder: str) -> str:
    """The project that an encoded folder stands for.

    The encoding is lossy (every sign but letters and digits becomes a dash), so the session's own folder, or the one
    above it that encodes to the same name, is taken; without one, each dash is read as a slash.
    """
    if cwd:
        path = PurePath(cwd)
        for candidate in (path, *path.parents):
            if _NOT_KEPT.sub("-", str(candidate)) == folder:
                return str(candidate)
        return cwd
    return folder.replace("-", "/") or "claude:unknown"


class _Body(NamedTuple):
    kind: str
    model: str | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    text: str = ""
    full: str = ""


def _assistant(record: dict[str, Any]) -> _Body:
    message = record["message"]
    model = _text.name(message.get("model"))
    return _blocks("assistant", message["content"], None if model == "<synthetic>" else model)


def _user(record: dict[str, Any]) -> _Body:
    content = record["message"]["content"]
    body = _blocks("user", content, None)
    return body._replace(kind="tool") if body.tool_call_id and not body.text else body


def _system(record: dict[str, Any]) -> _Body:
    text = _text.show(record.get("content"))
    return _Body("system", text=text, full=text)


def _summary(record: dict[str, Any]) -> _Body:
    text = _text.show(record["summary"])
    return _Body("system", text=text, full=_text.summary(text))


_CONTENT = {"assistant": _assistant, "user": _user, "system": _system, "summary": _summary}


def _blocks(kind: str, content: Any, model: str | None) -> _Body:  # noqa: ANN401 - text, or a list of blocks
    if isinstance(content, str):
        return _Body(kind, model, None, None, content, content)
    said: list[str] = []
    full: list[str] = []
    tool: str | None = None
    call: str | None = None
    for block in content:
        shape = block.get("type")
        if shape == "text":
            said.append(block["text"])
            full.append(block["text"])
        elif shape == "thinking":
            full.append(_text.thinking(block["thinking"]))
        elif shape == "tool_use":
            tool, call = tool or _text.name(block["name"]), call or _text.name(block["id"])
            full.append(_text.tool_call(block["name"], block.get("input")))
        elif shape == "tool_result":
            call = call or _text.name(block["tool_use_id"])
            full.append(_text.tool_result(_result(block.get("content")), failed=bool(block.get("is_error"))))
    return _Body(kind, model, tool, call, _text.join(said), _text.join(full))


def _result(content: Any) -> str:  # noqa: ANN401 - text, or a list of blocks
    if isinstance(content, list):
        return _text.join([_text.show(record_of(block).get("text")) or "[Image]" for block in content])
    return _text.show(content)
