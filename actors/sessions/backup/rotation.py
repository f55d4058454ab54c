"""Backup files by the time in their name, `<name>.bak-YYYYMMDDHHMMSS` in UTC; what files say of themselves is no help.

A copy to another disk, a touch or a restore changes a file's own times, never its name.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import structlog

if TYPE_CHECKING:
    from pathlib import Path

PART = ".part"
_FORMAT = "%Y%m%d%H%M%S"
_log = structlog.get_logger(__name__)


class Backup(NamedTuple):
    """A finished backup."""

    taken_at: datetime
    path: Path


def name_for(name: str, taken_at: datetime) -> str:
    """The file name of a backup taken at that time, which is in UTC."""
    return f"{name}.bak-{taken_at.astimezone(UTC):{_FORMAT}}"


def list_backups(folder: Path, name: str) -> list[Backup]:
    """Finished backups, newest first; files with other names are not ours. No folder, no backups."""
    pattern = re.compile(re.escape(name) + r"\.bak-(\d{14})")
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = pattern.fullmatch(path.name)
        taken_at = _parse(match[1]) if match else None
        if taken_at:
            found.append(Backup(taken_at, path))
    return sorted(found, reverse=True)


def _parse(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, _FORMAT).replace(tzinfo=UTC)
    except ValueError:  # fourteen digits that are no time
        return None


def delete_oldest(folder: Path, name: str, keep: int) -> int:
    """Delete all but the newest `keep` backups, and return how many went; one that cannot be deleted is logged."""
    return sum(_delete(backup.path) for backup in list_backups(folder, name)[keep:])


def delete_unfinished(folder: Path, name: str) -> None:
    """Delete what a run that was killed left behind."""
    for path in folder.glob(f"{name}.bak-*{PART}*"):
        _delete(path)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:
        _log.warning("backup.delete_failed", path=str(path), error=str(error))
        return False
    return True
