"""What can be wrong with a backup."""

from __future__ import annotations


class BackupError(Exception):
    """A backup file is damaged, incomplete, of another make, or may not be restored here and now."""


class BackupCancelled(BackupError):  # noqa: N818 - an outcome that was asked for
    """Somebody asked the run to stop; what was written is thrown away."""
