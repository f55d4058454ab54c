"""Carries out one step of the plan, so that at every moment each file is in a verified archive or still an original.

Write to `<name>.tar.xz.tmp`, verify all of it against the checksums of what went in, sync, rename, and only then delete
the archives that went in. If the run dies after the rename, the next plan has the same step again: nothing is left to
write, and the archives that went in are deleted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

from actors.sessions._durable import create_private, publish, sync
from actors.sessions.archive import checksums, container
from actors.sessions.archive.container import Content
from actors.sessions.archive.errors import ArchiveCancelled, ArchiveConflict
from actors.sessions.archive.scan import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from actors.sessions.archive.periods import Period
    from actors.sessions.archive.plan import SessionFile, Step

_log = structlog.get_logger(__name__)


class Built(NamedTuple):
    """What a step came to: whether it changed anything, and how many originals it archived."""

    changed: bool
    files: int


class Builder:
    """Writes archives.

    Args:
        archives: Their folder.
        originals: The folder of project folders with session files.
        preset: xz preset.
        stop: Asked between files; true ends the work with ArchiveCancelled.
    """

    def __init__(self, archives: Path, originals: Path, preset: int, stop: Callable[[], bool]) -> None:
        self._archives, self._originals, self._preset, self._stop = archives, originals, preset, stop

    def build(self, step: Step) -> Built:
        """Carry out a step.

        Raises:
            ArchiveError, OSError: It could not; what was there before still is.
        """
        sources = [*([step.target] if step.extends else []), *step.parts]
        digests, base = self._archived(sources), len(self._archived(sources[:1])) if step.extends else 0
        originals = self._originals_of(step.files)
        digests |= {file.member: sha256 for file, sha256 in originals.items()}
        wrote = len(digests) > base
        if wrote:
            self._write(step.target, sources, originals, digests)
        self._delete(step.parts)
        return Built(wrote or bool(step.parts), len(originals))

    def _path(self, period: Period) -> Path:
        return self._archives / period.path

    def _archived(self, sources: Iterable[Period]) -> dict[str, str]:
        """Checksums of all that is in these archives."""
        digests: dict[str, str] = {}
        for source in sources:
            for name, sha256 in container.read_checksums(self._path(source)).items():
                if digests.setdefault(name, sha256) != sha256:
                    raise ArchiveConflict(
                        f"{self._path(source)} holds another {name} than the archives it is merged with; unpack both, "
                        "keep the right one, and move the other archive elsewhere"
                    )
        return digests

    def _originals_of(self, files: Iterable[SessionFile]) -> dict[SessionFile, str]:
        """Checksums of the files that are still what they were when the plan was made; others wait for the next run."""
        digests = {}
        for file in files:
            self._stop_if_asked()
            path = self._originals / file.folder / file.name
            try:
                with path.open("rb") as stream:
                    if _modified(path) == file.modified:
                        digests[file] = checksums.digest(stream)
            except FileNotFoundError:
                _log.info("archive.original_gone", path=str(path))
        return digests

    def _write(
        self, target: Period, sources: Iterable[Period], originals: Iterable[SessionFile], digests: dict[str, str]
    ) -> None:
        path = self._path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        tmp = unfinished(path)
        try:
            create_private(tmp)
            container.write(tmp, digests, self._contents(sources, originals), self._preset)
            self._stop_if_asked()
            container.verify(tmp, digests)
            publish(tmp, path)
        finally:
            tmp.unlink(missing_ok=True)

    def _contents(self, sources: Iterable[Period], originals: Iterable[SessionFile]) -> Iterator[Content]:
        for source in sources:
            for content in container.read(self._path(source)):
                self._stop_if_asked()
                yield content
        for file in originals:
            self._stop_if_asked()
            path = self._originals / file.folder / file.name
            with path.open("rb") as stream:
                yield Content(file.member, path.stat().st_size, file.modified.timestamp(), stream)

    def _delete(self, parts: Iterable[Period]) -> None:
        """Delete merged archives, and folders that are empty then."""
        for part in parts:
            path = self._path(part)
            path.unlink()
            sync(path.parent)
            for folder in path.parents:
                if folder == self._archives or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _stop_if_asked(self) -> None:
        if self._stop():
            raise ArchiveCancelled("cancelled")


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
