"""Codex: `sessions/Y/M/D/rollout-<time>-<session>.jsonl`, and `history.jsonl` with all prompts.

A prompt stands in both, so the history is only read for sessions without a rollout. It is listed first: a session that
is young enough to have its rollout missed has its prompt written after the listing, where this pass does not read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from actors.sessions.adapters import _folders, _lines, _text
from actors.sessions.adapters._model import Conversation, Listing, Message, Session, Source, record_of
from actors.sessions.reader import Stamp, is_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from actors.sessions.adapters._model import Limits, Slice
    from actors.sessions.reader import FileState

_ROLLOUT = re.compile(r"rollout-.*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl")
_UNKNOWN = "codex:unknown"


class CodexAdapter:
    """Reads the rollouts and the history of Codex."""

    name = "codex"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._with_rollout: set[str] = set()

    def list(self) -> Listing:
        """The history, then all rollouts, archived ones too."""
        listing = _folders.begin(self.root)
        self._list_history(listing)
        for year in _folders.entries(self.root / "sessions", listing):
            for month in _folders.entries(year.path, listing):
                for day in _folders.entries(month.path, listing):
                    self._list_rollouts(listing, day.path)
        self._list_rollouts(listing, str(self.root / "archived_sessions"))
        return listing

    def _list_history(self, listing: Listing) -> None:
        path = self.root / "history.jsonl"
        try:
            listing.sources.append(Source(path, Stamp.of(path.stat())))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            listing.errors.append((path, error))

    def _list_rollouts(self, listing: Listing, folder: str) -> None:
        for entry in _folders.entries(folder, listing):
            if entry.name.endswith(".jsonl"):
                _folders.add(listing, entry, "")
                if found := _ROLLOUT.fullmatch(entry.name):
                    self._with_rollout.add(found[1])

    def is_unchanged(self, source: Source, state: FileState | None, limits: Limits) -> bool:
        """True if the file is as it was, and its last line was taken or may still grow."""
        return is_unchanged(state, source.stamp, settled=limits.settled(source.stamp.mtime_ns))

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:
        """The lines since `state`."""
        if source.path.name == "history.jsonl":
            return _lines.read_lines(source, state, limits, lambda _: HistoryParser(self._with_rollout))
        return _lines.read_lines(source, state, limits, lambda kept: RolloutParser(source, kept))


class HistoryParser:
    """Turns the lines of `history.jsonl` into prompts of the sessions that have no rollout."""

    def __init__(self, with_rollout: set[str]) -> None:
        self._with_rollout = with_rollout
        self._talks: dict[str, Conversation] = {}

    def feed(self, record: dict[str, Any], line: bytes) -> bool:
        """Take one prompt; True if its session has no rollout."""
        session, text = str(record["session_id"]), record["text"]
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, found {type(text).__name__}")
        if session in self._with_rollout:
            return False
        timestamp = _text.iso(record.get("ts"))
        uuid = _text.message_uuid(None, session, timestamp, "user", line)
        talk = self._talks.get(session)
        if talk is None:
            talk = Conversation(Session(session, "codex", _UNKNOWN, channel="history"))
            self._talks[session] = talk
        talk.messages.append(Message(uuid, "user", timestamp, None, None, None, text, text, line))
        talk.session.continues.update(_text.continues(text))
        return True

    def drain(self) -> list[Conversation]:
        """The sessions met since the last call."""
        talks, self._talks = self._talks, {}
        return list(talks.values())

    def dump(self) -> str:
        """Nothing: each line says all."""
        return ""


class RolloutParser:
    """Turns the lines of a rollout into one session's messages; carries its identity, folder and model.

    Releases up to spring 2025 wrote items bare; later ones wrap them as `{"timestamp", "type", "payload"}`.
    """

    def __init__(self, source: Source, kept: str) -> None:
        self._source = source
        self._carried: dict[str, str] = _text.decode(kept.encode()) if kept else {}
        self._talk: Conversation | None = None

    def feed(self, record: dict[str, Any], line: bytes) -> bool:
        """Take one line; True if it was a message."""
        item = record.get("payload", record)
        kind = record.get("type", "session_meta")
        if kind in {"session_meta", "turn_context"}:
            self._learn(kind, item)
            return False
        shape = item.get("type") if kind == "response_item" else kind
        make = _ITEMS.get(shape)
        message = make(item) if make else None
        if message is None:
            return False
        self._keep(message, _text.iso(record.get("timestamp")), line)
        return True

    def _learn(self, kind: str, item: dict[str, Any]) -> None:
        first = "session" not in self._carried
        wanted = {"cwd": item.get("cwd"), "model": item.get("model")}
        if kind == "session_meta" and first:  # a fork copies the lines of its parent, the parent's own meta among them
            git = record_of(item.get("git"))
            wanted |= {
                "session": item.get("id"),
                "channel": item.get("originator"),
                "started": item.get("timestamp"),
                "version": item.get("cli_version"),
                "repo_url": git.get("repository_url"),
                "git_branch": git.get("branch"),
            }
        once = {"cwd"} if "cwd" in self._carried else set()
        self._carried.update({key: str(value) for key, value in wanted.items() if value and key not in once})

    def _keep(self, message: Message, timestamp: str | None, line: bytes) -> None:
        if self._talk is None:
            self._talk = Conversation(Session(self._session_id(), "codex"))
        session, place = self._talk.session, ""
        if timestamp is None:  # bare items have none: their place in the file tells two equal ones apart
            timestamp = _text.iso(self._carried.get("started"))
            place = self._carried["place"] = str(int(self._carried.get("place", "0")) + 1)
        uuid = _text.message_uuid(None, session.session_id, timestamp, message.type, line, place)
        model = self._carried.get("model") if message.type == "assistant" else None
        self._talk.messages.append(message._replace(uuid=uuid, timestamp=timestamp, model=model, raw=line))
        if message.type == "user":
            session.continues.update(_text.continues(message.text))

    def _session_id(self) -> str:
        if "session" not in self._carried:
            found = _ROLLOUT.fullmatch(self._source.path.name)
            self._carried["session"] = found[1] if found else self._source.stem
        return self._carried["session"]

    def drain(self) -> list[Conversation]:
        """The session's messages since the last call; nothing if there were none."""
        talk, self._talk = self._talk, None
        if talk is None:
            return []
        session, carried = talk.session, self._carried
        session.cwd, session.model = carried.get("cwd"), carried.get("model")
        session.channel, session.repo_url = carried.get("channel"), carried.get("repo_url")
        session.project = session.cwd or _UNKNOWN
        session.meta = {key: carried[key] for key in ("version", "git_branch") if key in carried}
        return [talk]

    def dump(self) -> str:
        """The session's id, folder and model, and what else its first line said."""
        return _text.show(self._carried) if self._carried else ""


def _message(kind: str, text: str, full: str, tool: object = None, call: object = None) -> Message:
    return Message("", kind, None, None, _text.name(tool), _text.name(call), text, full, b"")


def _said(item: dict[str, Any]) -> Message:
    kind = {"user": "user", "assistant": "assistant"}.get(item["role"], "system")
    content = item["content"]
    blocks = [content] if isinstance(content, str) else [_text.show(block.get("text")) for block in content]
    text = _text.join(blocks)
    return _message(kind, text, text)


def _reasoning(item: dict[str, Any]) -> Message | None:
    blocks = [*(item.get("summary") or []), *(item.get("content") or [])]
    text = _text.join([_text.show(block.get("text")) for block in blocks])
    return _message("assistant", "", _text.thinking(text)) if text else None  # the rest is encrypted


def _call(item: dict[str, Any]) -> Message:
    name = _text.name(item.get("name")) or str(item["type"]).removesuffix("_call")
    given = next((item[key] for key in ("arguments", "input", "action") if key in item), None)
    return _message("assistant", "", _text.tool_call(name, given), name, item.get("call_id") or item.get("id"))


def _output(item: dict[str, Any]) -> Message:
    output = item["output"]
    if isinstance(output, str) and output.startswith('{"output":'):
        output = _text.decode(output.encode())
    fields = record_of(output)
    failed = bool(record_of(fields.get("metadata")).get("exit_code")) or fields.get("success") is False
    text = _text.show(fields.get("output", fields.get("content", output)))
    return _message("tool", "", _text.tool_result(text, failed=failed), None, item["call_id"])


def _compacted(item: dict[str, Any]) -> Message:
    text = _text.show(item["message"])
    return _message("system", text, _text.summary(text))


_ITEMS: dict[Any, Callable[[dict[str, Any]], Message | None]] = {
    "message": _said,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _call,
    "local_shell_call": _call,
    "web_search_call": _call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "compacted": _compacted,
}
