"""Reads what was appended to a file since the last pass: by byte offset, inode, size and modification time.

    Stamp       what the folder listing says about a file now
    FileState   what an earlier pass left in `sessions.files`
    LineReader  the whole lines between the two, in bounded memory

A file is read again from its start when its inode changed, when it shrank, or when the bytes before the offset are not
those that were read: a rewritten file loses nothing, and the unique message uuid drops what is already there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import BinaryIO

_ANCHOR = 64
_BIGINT = 2**63 - 1  # some file systems number inodes beyond Postgres' bigint


class Stamp(NamedTuple):
    """Which file it is, how long, and when it last changed (nanoseconds since 1970)."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Stamp:
        """The stamp in a `stat` answer."""
        return cls(stat.st_ino & _BIGINT, stat.st_size, stat.st_mtime_ns)


class FileState(NamedTuple):
    """How far a file was read.

    Attributes:
        stamp: The file when it was read through; until then its size is the offset and its mtime 0.
        offset: Bytes taken: the end of the last whole line, or anywhere inside an oversized line (`skipping`).
        anchor: Digest of the up to 64 bytes before `offset`.
        skipping: Discard up to the next newline before reading on.
        parser: What the adapter must know to go on in mid-file, as JSON; empty at the start.
    """

    stamp: Stamp
    offset: int = 0
    anchor: str = ""
    skipping: bool = False
    parser: str = ""


def is_unchanged(state: FileState | None, stamp: Stamp, *, settled: bool) -> bool:
    """True if nothing can be gained from opening the file.

    A torn last line is left alone while the file may still be written to; once `settled` it is looked at a last time.
    """
    return state is not None and state.stamp == stamp and (not settled or state.offset == stamp.size)


def anchor_of(before: bytes) -> str:
    """The digest that recognises the bytes before an offset; empty at the start of a file."""
    return hashlib.blake2b(before[-_ANCHOR:], digest_size=8).hexdigest() if before else ""


@dataclass
class LineReader:
    """The lines of an open file from where the last pass ended, up to the size in its stamp.

    Iterating yields each line without its newline, empty ones left out. At each yield `offset` and `state` stand at the
    end of that line, so that a batch may be committed in mid-file.

    Attributes:
        file: Opened for reading bytes.
        stamp: The file as listed; bytes written after the listing wait for the next pass.
        max_line: A longer line is discarded as it is read, and counted in `oversized`.
        settled: The file is no longer written to: its last line counts even without a newline.
        chunk: Bytes read at a time.
        restarted: The earlier state no longer fits, so reading began at 0.
    """

    file: BinaryIO
    stamp: Stamp
    max_line: int
    settled: bool = False
    chunk: int = 256 * 1024
    offset: int = field(default=0, init=False)
    skipping: bool = field(default=False, init=False)
    oversized: int = field(default=0, init=False)
    restarted: bool = field(default=False, init=False)
    _before: bytes = field(default=b"", init=False)

    def resume(self, state: FileState | None) -> str:
        """Go to where `state` ended, or to the start if it no longer fits; returns the parser's state to go on with."""
        if state is None:
            return ""
        if not self._fits(state):
            self.restarted = True
            self._before = b""
            self.file.seek(0)
            return ""
        self.offset, self.skipping = state.offset, state.skipping
        return state.parser

    def _fits(self, state: FileState) -> bool:
        if state.stamp.inode != self.stamp.inode or state.offset > self.stamp.size:
            return False
        start = max(0, state.offset - _ANCHOR)
        self.file.seek(start)
        self._before = self.file.read(state.offset - start)
        return anchor_of(self._before) == state.anchor

    def state(self, parser: str = "", *, done: bool = False) -> FileState:
        """What to keep of the file now; until `done` its stamp says that there is more to read."""
        stamp = self.stamp if done else Stamp(self.stamp.inode, self.offset, 0)
        return FileState(stamp, self.offset, anchor_of(self._before), self.skipping, parser)

    def __iter__(self) -> Iterator[bytes]:
        tail = b""
        while piece := self.file.read(min(self.chunk, self.stamp.size - self.offset - len(tail))):
            *lines, tail = (tail + piece).split(b"\n")
            for line in lines:
                self._pass(line, b"\n")
                if self._wanted(line):
                    yield line
            if self.skipping or len(tail) > self.max_line:
                self._discard(tail)
                tail = b""
        if tail and self.settled:
            self._pass(tail, b"")
            if self._wanted(tail):
                yield tail

    def _pass(self, line: bytes, end: bytes) -> None:
        self.offset += len(line) + len(end)
        self._before = (self._before + line[-_ANCHOR:] + end)[-_ANCHOR:]

    def _wanted(self, line: bytes) -> bool:
        if self.skipping:
            self.skipping = False
            return False
        if len(line) > self.max_line:
            self.oversized += 1
            return False
        return bool(line) and not line.isspace()

    def _discard(self, tail: bytes) -> None:
        self.oversized += not self.skipping
        self.skipping = True
        self._pass(tail, b"")
