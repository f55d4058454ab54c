"""The job `backup`: one SQLite file a day with all tables of the catalogue."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from actors.sessions._durable import create_private, publish
from actors.sessions.backup.errors import BackupCancelled, BackupError
from actors.sessions.backup.rotation import PART, delete_oldest, delete_unfinished, list_backups, name_for
from actors.sessions.backup.snapshot import check_file, write_snapshot
from actors.sessions.settings import SessionsSettings, get_sessions_settings
from callboard import Backoff, Run, cron, current_run, job

if TYPE_CHECKING:
    from pathlib import Path


@job(
    "backup",
    queue="maintenance",
    cadence=cron("0 2 * * *"),
    retry=Backoff(max_retries=3, base=300),
    time_limit=3600,
    label="Back up sessions",
)
def backup() -> None:
    """Copy all tables of the catalogue to a SQLite file, unless that was done today (UTC)."""
    make_backup(get_sessions_settings(), current_run(), datetime.now(UTC))


def make_backup(settings: SessionsSettings, run: Run, now: datetime) -> Path | None:
    """Make today's backup and delete the oldest; None when there is one of today already, or the run is cancelled."""
    folder, name = settings.backup_dir, settings.backup_name
    folder.mkdir(parents=True, exist_ok=True)
    delete_unfinished(folder, name)
    todays = [each.path for each in list_backups(folder, name) if each.taken_at.date() == now.date()]
    if todays:
        run.count(created=0, skipped=1, deleted=delete_oldest(folder, name, settings.backup_keep))
        run.note(path=str(todays[0]))
        return None
    path = folder / name_for(name, now)
    try:
        rows = _write(path, now, settings.backup_batch_rows, run)
    except BackupCancelled:
        return None
    deleted = delete_oldest(folder, name, settings.backup_keep)
    run.count(created=1, skipped=0, rows=rows, bytes=path.stat().st_size, deleted=deleted)
    run.note(path=str(path))
    return path


def _write(path: Path, now: datetime, batch_rows: int, run: Run) -> int:
    """Write beside the final name, check, then rename: a file with the final name is always whole."""
    part = path.with_name(path.name + PART)
    create_private(part)
    try:
        rows = write_snapshot(part, now, batch_rows, run)
        check_file(part)
        publish(part, path)
    except sqlite3.Error as error:
        raise BackupError(
            f"cannot write {part}: {error}; free space there, or set CALLBOARD_SESSIONS_BACKUP_DIR"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return rows
