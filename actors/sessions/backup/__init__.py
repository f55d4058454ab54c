"""Backups: the whole catalogue in one SQLite file a day, which any tool opens and `restore` loads back."""

from __future__ import annotations

from actors.sessions.backup.errors import BackupError
from actors.sessions.backup.job import backup
from actors.sessions.backup.restore import restore
from actors.sessions.backup.rotation import Backup, list_backups

__all__ = ["Backup", "BackupError", "backup", "list_backups", "restore"]
