"""What every adapter hands on: sessions, their messages, and the slices of files they come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.sessions.reader import FileState, Stamp


class Message(NamedTuple):
    """One row of `sessions.messages`, but for its session and sequence.

    Attributes:
        uuid: In canonical form.
        type: user, assistant, tool or system.
        timestamp: ISO 8601 with an offset, or None where the source has none that makes sense.
        text: What was said.
        full: The same with tool calls, results and thinking.
        raw: The source's JSON as UTF-8, without its newline.
    """

    uuid: str
    type: str
    timestamp: str | None
    model: str | None
    tool_name: str | None
    tool_call_id: str | None
    text: str
    full: str
    raw: bytes


@dataclass
class Session:
    """One row of `sessions.sessions`; None and empty mean that this slice does not say.

    Attributes:
        project: Path of the working folder, or `<source>:<name>` where the source has no path.
        parent: Id of the session that started this one as its subagent.
        continues: Ids found in `[continuation_from: <id>]` marks.
    """

    session_id: str
    source: str
    project: str = ""
    folder: str | None = None
    repo_url: str | None = None
    cwd: str | None = None
    model: str | None = None
    channel: str | None = None
    parent: str | None = None
    continues: set[str] = field(default_factory=set)
    meta: dict[str, str] = field(default_factory=dict)


@dataclass
class Conversation:
    """Messages of one session, in order. Those of a `revisable` one may have changed since they were first seen."""

    session: Session
    messages: list[Message] = field(default_factory=list)
    revisable: bool = False


class Source(NamedTuple):
    """A file, or a family of files, that is read as one."""

    path: Path
    stamp: Stamp
    project: str = ""

    @property
    def key(self) -> str:
        """The path as Postgres can hold it: bytes that are not UTF-8 are shown as escapes."""
        return storable(str(self.path))

    @property
    def stem(self) -> str:
        """The file's name without its ending, as Postgres can hold it."""
        return storable(self.path.stem)


@dataclass
class Slice:
    """A part of a file that is committed as one: the conversations in it, and the state of the file after it.

    Attributes:
        size: Bytes of input.
        rejected: Lines or documents that could not be understood; `complaint` says where and why of the first.
        skipped: Sound lines that are no messages.
        restarted: The file was rewritten or cut since the last pass, and is read from its start.
    """

    source: Source
    state: FileState
    conversations: list[Conversation] = field(default_factory=list)
    size: int = 0
    rejected: int = 0
    oversized: int = 0
    skipped: int = 0
    complaint: str = ""
    restarted: bool = False

    @property
    def messages(self) -> int:
        """Messages in all conversations."""
        return sum(len(conversation.messages) for conversation in self.conversations)


@dataclass
class Listing:
    """What an adapter's folder holds; `errors` are parts of it that could not be listed."""

    sources: list[Source] = field(default_factory=list)
    errors: list[tuple[Path, OSError]] = field(default_factory=list)
    missing: bool = False


class Limits(NamedTuple):
    """Bounds on what is held in memory, and how long (seconds) a file counts as still written to.

    Attributes:
        now: Seconds since 1970.
    """

    max_line: int
    max_document: int
    slice_messages: int
    slice_bytes: int
    overlap: float
    now: float

    def settled(self, mtime_ns: int) -> bool:
        """True if a file last changed then is no longer written to."""
        return self.now - mtime_ns / 1e9 > self.overlap


class Adapter(Protocol):
    """Reads the files of one tool."""

    name: str
    root: Path

    def list(self) -> Listing:
        """All there is to read; never raises for a missing folder."""
        ...

    def is_unchanged(self, source: Source, state: FileState | None, limits: Limits) -> bool:
        """True if nothing can be gained from reading the source again."""
        ...

    def read(self, source: Source, state: FileState | None, limits: Limits) -> Iterator[Slice]:
        """The source from where `state` ended, in slices.

        Raises:
            OSError: The file cannot be read, or is gone.
        """
        ...


def storable(text: str) -> str:
    """`text` as Postgres can hold it: no NUL, and no surrogates (file names that are not UTF-8 have them)."""
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode()


def record_of(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
