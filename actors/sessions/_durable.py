"""Files that survive a loss of power."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(finished: Path, target: Path) -> None:
    """Give a finished file its final name, in one step: whoever sees the name sees the whole content."""
    sync(finished)
    finished.replace(target)
    sync(target.parent)


def create_private(path: Path) -> None:
    """Make an empty file that only this user may read.

    Raises:
        FileExistsError: It is there already.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
