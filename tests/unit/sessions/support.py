"""Reading a file through its adapter, as a pass does."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.sessions.adapters import Adapter, Conversation, Limits, Message, Session, Slice, Source

if TYPE_CHECKING:
    from pathlib import Path

    from actors.sessions.reader import FileState


def limits(**changes: Any) -> Limits:  # noqa: ANN401 - any field of Limits
    defaults = Limits(
        max_line=1 << 16, max_document=1 << 20, slice_messages=1000, slice_bytes=1 << 20, overlap=1800, now=time.time()
    )
    return defaults._replace(**changes)


@dataclass
class Pass:
    """What one pass over one source gave."""

    slices: list[Slice] = field(default_factory=list)

    @property
    def conversations(self) -> list[Conversation]:
        return [talk for part in self.slices for talk in part.conversations]

    @property
    def messages(self) -> list[Message]:
        return [message for talk in self.conversations for message in talk.messages]

    @property
    def session(self) -> Session:
        return self.conversations[-1].session

    @property
    def state(self) -> FileState:
        return self.slices[-1].state

    def count(self, name: str) -> int:
        return sum(getattr(part, name) for part in self.slices)


def only_source(adapter: Adapter) -> Source:
    (source,) = adapter.list().sources
    return source


def read(adapter: Adapter, state: FileState | None = None, source: Source | None = None, **changes: Any) -> Pass:  # noqa: ANN401 - any field of Limits
    """Read the adapter's only source, or the one that is given."""
    return Pass(list(adapter.read(source or only_source(adapter), state, limits(**changes))))


def write_lines(path: Path, *records: object) -> Path:
    """A file of one JSON document a line; a record that is bytes stands as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
