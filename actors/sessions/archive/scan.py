"""What is there: session files that may be archived, and the archives so far."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import structlog

from actors.sessions.archive.container import read_checksums
from actors.sessions.archive.errors import ArchiveDamaged
from actors.sessions.archive.periods import SUFFIX, Period
from actors.sessions.archive.plan import SessionFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard import Run

_TMP = f"{SUFFIX}.tmp"
_log = structlog.get_logger(__name__)


def session_files(root: Path, run: Run) -> Iterator[SessionFile]:
    """Session files directly in project folders; a folder that cannot be read is counted and left.

    Links are not followed: what they lead to is archived where it lies, or is not ours.
    """
    for folder in _entries(root, run, os.DirEntry.is_dir):
        for file in _entries(Path(folder.path), run, _is_session):
            modified = _modified(file, run)
            if modified is not None:
                yield SessionFile(folder.name, file.name, modified)


def _entries(folder: Path, run: Run, wanted: Callable[[os.DirEntry[str]], bool]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(filter(wanted, entries), key=lambda entry: entry.name)
    except FileNotFoundError:  # no such tool here, or a project that was deleted just now
        return []
    except OSError as error:
        run.count(errors=1)
        _log.warning("archive.folder_unreadable", folder=str(folder), error=str(error))
        return []


def _is_session(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False)


def _modified(file: os.DirEntry[str], run: Run) -> datetime | None:
    try:
        return datetime.fromtimestamp(file.stat(follow_symlinks=False).st_mtime, UTC)
    except FileNotFoundError:
        return None
    except (ValueError, OverflowError, OSError) as error:  # a time beyond the year 9999, a broken disk
        run.count(errors=1)
        _log.warning("archive.file_unreadable", path=file.path, error=str(error))
        return None


def archives(root: Path, run: Run) -> tuple[dict[Period, set[str]], set[Period]]:
    """The names in each archive, and which archives are damaged; those are counted, and their names are unknown."""
    found: dict[Period, set[str]] = {}
    damaged: set[Period] = set()
    for path in sorted(root.rglob(f"*{SUFFIX}")):
        period = Period.parse(PurePosixPath(path.relative_to(root)))
        if period is None:
            _log.warning("archive.unknown_file", path=str(path), mend="move it out of the archives' folder")
            continue
        try:
            found[period] = set(read_checksums(path))
        except ArchiveDamaged as error:
            found[period] = set()
            damaged.add(period)
            run.count(errors=1)
            _log.error("archive.damaged", path=str(path), error=str(error))
    return found, damaged


def delete_unfinished(root: Path) -> None:
    """Delete what a run that was killed left behind."""
    for path in root.rglob(f"*{_TMP}"):
        path.unlink(missing_ok=True)
        _log.info("archive.unfinished_deleted", path=str(path))


def unfinished(path: Path) -> Path:
    """The name of an archive while it is written."""
    return path.with_name(path.name.removesuffix(SUFFIX) + _TMP)
