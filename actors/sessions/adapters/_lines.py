"""Files of one JSON object a line, appended to: from lines to slices, whatever the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from actors.sessions.adapters._model import Slice
from actors.sessions.adapters._text import decode
from actors.sessions.reader import LineReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.sessions.adapters._model import Conversation, Limits, Source
    from actors.sessions.reader import FileState

#: What a line can break: its JSON, or what a parser expects to find in it.
BAD_INPUT = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Parser(Protocol):
    """Turns the lines of one file into conversations, and can be taken up again in mid-file."""

    def feed(self, record: dict[str, Any], line: bytes) -> bool:
        """Take one line; True if it was a message. Raises any of `BAD_INPUT` for one that makes no sense."""
        ...

    def drain(self) -> list[Conversation]:
        """The conversations since the last call."""
        ...

    def dump(self) -> str:
        """What a parser of the lines to come must know, as JSON."""
        ...


def read_lines(
    source: Source, state: FileState | None, limits: Limits, make_parser: Callable[[str], Parser]
) -> Iterator[Slice]:
    """The lines since `state`, in slices of at most the limits' messages and bytes (and one line more).

    Raises:
        OSError: The file cannot be read, or is gone.
    """
    with source.path.open("rb", buffering=0) as file:
        reader = LineReader(file, source.stamp, limits.max_line, limits.settled(source.stamp.mtime_ns))
        parser = make_parser(reader.resume(state))
        part, messages = Slice(source, reader.state(), restarted=reader.restarted), 0
        for line in reader:
            part.size += len(line)
            messages += _feed(parser, line, part, reader)
            if messages >= limits.slice_messages or part.size >= limits.slice_bytes:
                yield _cut(part, parser, reader, done=False)
                part, messages = Slice(source, reader.state()), 0
        yield _cut(part, parser, reader, done=True)


def _feed(parser: Parser, line: bytes, part: Slice, reader: LineReader) -> bool:
    try:
        if parser.feed(decode(line), line):
            return True
        part.skipped += 1
    except BAD_INPUT as error:
        part.rejected += 1
        part.complaint = part.complaint or f"line that ends at byte {reader.offset}: {error}"
    return False


def _cut(part: Slice, parser: Parser, reader: LineReader, *, done: bool) -> Slice:
    part.conversations = parser.drain()
    part.oversized, reader.oversized = reader.oversized, 0
    part.state = reader.state(parser.dump(), done=done)
    return part
