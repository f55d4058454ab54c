"""OpenCode: `session/<project>/ses_*.json`, `message/<session>/msg_*.json` and `part/<message>/prt_*.json`.

The family of a session's files is read as one, whole, as long as any of it changed of late: a part is rewritten in
place while an answer streams in, which neither the session's file nor a folder's time would tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.sessions.adapters import _folders, _text
from actors.sessions.adapters._documents import OversizedError, read_document
from actors.sessions.adapters._lines import BAD_INPUT
from actors.sessions.adapters._model import Conversation, Listing, Message, Session, Slice, Source, record_of
from actors.sessions.reader import FileState, Stamp

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from actors.sessions.adapters._model import Limits


class OpenCodeAdapter:
    """Reads the storage folder of OpenCode."""

    name = "opencode"

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> Listing:
        """All sessions; each has the time of its file or of its folder of messages, whichever is later."""
        listing = _folders.begin(self.root)
        for project in _folders.entries(self.root / "session", listing):
            for entry in _folders.entries(project.path, listing):
                if entry.name.startswith("ses_") and entry.name.endswith(".json"):
                    _folders.add(listing, entry, project.name)
        listing.sources = [self._with_messages(source) for source in listing.sources]
        return listing

    def _with_messages(self, source: Source) -> Source:
        try:
            changed = (self.root / "message" / source.path.stem).stat().st_mtime_ns
        except OSError:
            return source
        return source._replace(stamp=source.stamp._replace(mtime_ns=max(source.stamp.mtime_ns, changed)))

    def is_unchanged(self, source: Source, state: FileState | None, limits: Limits) -> bool:
        """True if nothing was added since; within the overlap the time of every file of the family is looked at."""
        if state is None or state.stamp != source.stamp or not state.parser:
            return False
        newest = int(state.parser)
        return limits.settled(newest) or self._newest(source) <= newest

    def _newest(self, source: Source) -> int:
        listing = Listing()
        for message in _folders.entries(self.root / "message" / source.path.stem, listing):
            _folders.add(listing, message, "")
            for part in _folders.entries(self.root / "part" / message.name.removesuffix(".json"), listing):
                _folders.add(listing, part, "")
        return max((found.stamp.mtime_ns for found in listing.sources), default=0)

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:  # noqa: ARG002 - Adapter's
        """The whole session: any of its messages may have changed."""
        return _Family(self.root, source, limits).read()


class _Family:
    """One reading of a session's files; knows the latest time among them."""

    def __init__(self, root: Path, source: Source, limits: Limits) -> None:
        self._root, self._source, self._limits = root, source, limits
        self._newest = source.stamp.mtime_ns
        self._session = Session(source.stem, "opencode", f"opencode:{source.project}", source.project)
        self._part = self._new_part()

    def _new_part(self) -> Slice:
        unfinished = FileState(Stamp(self._source.stamp.inode, 0, 0))
        return Slice(self._source, unfinished, [Conversation(self._session, revisable=True)])

    def read(self) -> Iterator[Slice]:
        _describe(self._session, self._document(self._source.path) or {})
        for entry in self._files(self._root / "message" / self._source.path.stem, "msg_"):
            self._add(entry)
            if self._part.messages >= self._limits.slice_messages or self._part.size >= self._limits.slice_bytes:
                full, self._part = self._part, self._new_part()
                yield full
        self._part.state = FileState(self._source.stamp, parser=str(self._newest))
        yield self._part

    def _add(self, entry: os.DirEntry[str]) -> None:
        record = self._document(Path(entry.path))
        if record is None:
            return
        folder = self._root / "part" / entry.name.removesuffix(".json")
        parts = [self._document(Path(part.path)) for part in self._files(folder, "prt_")]
        try:
            self._keep(record, [part for part in parts if part])
        except BAD_INPUT as error:
            self._reject(entry.path, error)

    def _keep(self, record: dict[str, Any], parts: list[dict[str, Any]]) -> None:
        said, full, tools = _contents(parts)
        if "error" in record:
            full.append(_text.tool_result(_text.show(record["error"]), failed=True))
        if not full:
            return  # its parts are still to be written
        kind = "user" if record["role"] == "user" else "assistant"
        timestamp = _text.iso(record_of(record.get("time")).get("created"))
        raw = _text.encode({"info": record, "parts": parts})
        uuid = _text.message_uuid(record.get("id"), self._session.session_id, timestamp, kind, raw)
        model, (tool, call) = _text.name(record.get("modelID")), tools[0] if tools else (None, None)
        text = _text.join(said)
        message = Message(uuid, kind, timestamp, model, tool, call, text, _text.join(full), raw)
        self._part.conversations[0].messages.append(message)
        self._session.model = model or self._session.model
        if kind == "user":
            self._session.continues.update(_text.continues(text))

    def _files(self, folder: Path, prefix: str) -> list[os.DirEntry[str]]:
        listing = Listing()
        found = [e for e in _folders.entries(folder, listing) if e.name.startswith(prefix) and e.name.endswith(".json")]
        for path, error in listing.errors:
            self._reject(str(path), error)
        return sorted(found, key=lambda entry: entry.name)  # ids ascend with time

    def _document(self, path: Path) -> dict[str, Any] | None:
        try:
            stat = path.stat()
            self._newest = max(self._newest, stat.st_mtime_ns)
            self._part.size += stat.st_size
            return read_document(path, self._limits.max_document)
        except FileNotFoundError:
            return None  # reverted by its user while we read
        except OversizedError as error:
            self._part.oversized += 1
            self._part.complaint = self._part.complaint or f"{path.name}: {error}"
        except (*BAD_INPUT, OSError) as error:
            self._reject(str(path), error)
        return None

    def _reject(self, path: str, error: Exception) -> None:
        self._part.rejected += 1
        self._part.complaint = self._part.complaint or f"{Path(path).name}: {error}"


def _describe(session: Session, document: dict[str, Any]) -> None:
    session.cwd = _text.name(document.get("directory"))
    session.project = session.cwd or session.project
    session.parent = _text.name(document.get("parentID"))
    for field, key in (("title", "title"), ("version", "version")):
        if value := _text.name(document.get(field)):
            session.meta[key] = value


def _contents(parts: list[dict[str, Any]]) -> tuple[list[str], list[str], list[tuple[str | None, str | None]]]:
    """What was said, the same with all else, and the tools called: name and id of the call."""
    said: list[str] = []
    full: list[str] = []
    tools: list[tuple[str | None, str | None]] = []
    for part in parts:
        match part.get("type"):
            case "text":
                said.append(part["text"])
                full.append(part["text"])
            case "reasoning":
                full.append(_text.thinking(part["text"]))
            case "tool":
                tools.append((_text.name(part.get("tool")), _text.name(part.get("callID"))))
                full.extend(_tool(part))
            case "file":
                full.append(f"[File: {part.get('filename') or part.get('url')}]")
            case _:
                continue  # step marks, snapshots and patches say nothing
    return said, full, tools


def _tool(part: dict[str, Any]) -> list[str]:
    state = record_of(part.get("state"))
    blocks = [_text.tool_call(str(part["tool"]), state.get("input"))]
    if state.get("status") == "error":
        return [*blocks, _text.tool_result(_text.show(state.get("error")), failed=True)]
    if "output" in state:
        return [*blocks, _text.tool_result(_text.show(state["output"]), failed=False)]
    return blocks
