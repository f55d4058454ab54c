"""One archive file: a tar in xz whose first member is `SHA256SUMS`; written, read and verified as a stream.

Neither memory nor disk depends on the size of what is inside, but for the list of names and checksums.
"""

from __future__ import annotations

import io
import lzma
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from actors.sessions.archive import checksums
from actors.sessions.archive.errors import ArchiveDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_BLOCK = 1024 * 1024
_UNREADABLE = (tarfile.TarError, lzma.LZMAError, EOFError, ValueError)


class Readable(Protocol):
    """What is needed of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Content(NamedTuple):
    """A file to be archived, or as it comes out of an archive; the stream is good until the next one is asked for."""

    name: str
    size: int
    modified: float
    stream: Readable


class _Guarded:
    """A member's content; what is wrong with the archive around it comes out as our own error."""

    def __init__(self, path: Path, stream: Readable) -> None:
        self._path, self._stream = path, stream

    def read(self, size: int = -1, /) -> bytes:
        with _errors(self._path):
            return self._stream.read(size)


def write(path: Path, digests: Mapping[str, str], contents: Iterable[Content], preset: int) -> None:
    """Write a new archive file.

    Args:
        path: Where to; what is there is overwritten.
        digests: SHA-256 of each of the `contents`, by name.
        contents: The files; those whose name comes a second time are left out.
        preset: xz preset, 0 to 9.

    Raises:
        OSError: The disk is full, or a file is shorter than its size.
    """
    written: set[str] = set()
    sums = checksums.dump(digests)
    with (
        lzma.open(path, "wb", preset=preset) as xz,
        tarfile.open(fileobj=xz, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, Content(checksums.NAME, len(sums), 0, io.BytesIO(sums)))
        for content in contents:
            if content.name not in written:
                _add(tar, content)
                written.add(content.name)


def _add(tar: tarfile.TarFile, content: Content) -> None:
    info = tarfile.TarInfo(content.name)
    info.size, info.mtime, info.mode = content.size, content.modified, 0o600
    tar.addfile(info, content.stream)
    _forget(tar)


def _forget(tar: tarfile.TarFile) -> None:
    """Drop what tarfile remembers of members, for look-ups that nobody does: about 1 kB for each."""
    tar.members.clear()  # type: ignore[attr-defined] # not in typeshed


def read(path: Path) -> Iterator[Content]:
    """The files in an archive, without its checksums, in order.

    Raises:
        ArchiveDamaged: It cannot be read to its end.
    """
    with _opened(path) as members:
        _read_checksums(path, members)
        yield from members


def read_checksums(path: Path) -> dict[str, str]:
    """SHA-256 by name, as the archive itself says; only its beginning is unpacked.

    Raises:
        ArchiveDamaged: It cannot be read, or does not begin with its checksums.
    """
    with _opened(path) as members:
        return _read_checksums(path, members)


def verify(path: Path, digests: Mapping[str, str]) -> None:
    """Unpack an archive, to nowhere, and compare all of its content.

    Raises:
        ArchiveDamaged: A file is missing, unexpected, or has another SHA-256.
    """
    left = dict(digests)
    for content in read(path):
        expected, found = left.pop(content.name, None), checksums.digest(content.stream)
        if expected != found:
            raise ArchiveDamaged(
                f"{path}: {content.name} has SHA-256 {found}, expected is {expected}; it changed while it was read, or "
                "its source is damaged"
            )
    if left:
        raise ArchiveDamaged(f"{path}: {len(left)} files are missing, the first is {min(left)}")


def _read_checksums(path: Path, members: Iterator[Content]) -> dict[str, str]:
    first = next(members, None)
    if first is None or first.name != checksums.NAME:
        raise ArchiveDamaged(f"{path} does not begin with {checksums.NAME}: no archive of ours; move it elsewhere")
    return checksums.parse(first.stream.read())


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[Content]]:
    with _errors(path), lzma.open(path, "rb") as xz, tarfile.open(fileobj=xz, mode="r|") as tar:
        yield _members(path, tar, xz)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise ArchiveDamaged(
            f"{path} cannot be read: {error}; move it elsewhere, and those of its originals that are still there are "
            "archived anew"
        ) from error


def _members(path: Path, tar: tarfile.TarFile, xz: Readable) -> Iterator[Content]:
    while (info := tar.next()) is not None:
        stream = tar.extractfile(info)
        if stream is None:
            raise ArchiveDamaged(f"{path}: {info.name} is no file; move the archive elsewhere")
        yield Content(info.name, info.size, info.mtime, _Guarded(path, stream))
        _forget(tar)
    while xz.read(_BLOCK):  # what follows the last member: padding, and the checks of xz itself
        pass
