from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from actors.sessions.backup.rotation import Backup, delete_oldest, delete_unfinished, list_backups, name_for

if TYPE_CHECKING:
    from pathlib import Path

NAME = "sessions.db"


def fill(folder: Path, count: int) -> list[Path]:
    """Backups of so many days, newest first; the oldest was touched last."""
    start = datetime(2026, 3, 1, 2, tzinfo=UTC)
    paths = [folder / name_for(NAME, start + timedelta(days=day)) for day in range(count)]
    for path in reversed(paths):
        path.touch()
    return paths[::-1]


def test_the_name_says_the_time_in_utc() -> None:
    east = datetime(2026, 3, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=9)))
    assert name_for(NAME, east) == "sessions.db.bak-20260228160203"


def test_backups_are_listed_newest_first_by_name(tmp_path: Path) -> None:
    paths = fill(tmp_path, 3)
    assert [backup.path for backup in list_backups(tmp_path, NAME)] == paths
    assert list_backups(tmp_path, NAME)[0] == Backup(datetime(2026, 3, 3, 2, tzinfo=UTC), paths[0])


def test_other_files_are_not_backups(tmp_path: Path) -> None:
    for name in ("sessions.db", "other.bak-20260301020000", "sessions.db.bak-20261301020000", "sessionsXdb.bak-1"):
        (tmp_path / name).touch()
    (tmp_path / "sessions.db.bak-20260301020000.part").touch()
    assert list_backups(tmp_path, NAME) == []
    assert list_backups(tmp_path / "missing", NAME) == []


def test_the_newest_are_kept_whatever_their_own_times_say(tmp_path: Path) -> None:
    paths = fill(tmp_path, 5)
    assert delete_oldest(tmp_path, NAME, 3) == 2
    assert sorted(tmp_path.iterdir(), reverse=True) == paths[:3]
    assert delete_oldest(tmp_path, NAME, 3) == 0


def test_one_that_cannot_be_deleted_is_a_warning_and_the_rest_goes_on(tmp_path: Path) -> None:
    paths = fill(tmp_path, 4)
    paths[2].unlink()
    paths[2].mkdir()
    with capture_logs() as logs:
        assert delete_oldest(tmp_path, NAME, 2) == 1
    assert not paths[3].exists()
    assert [(line["event"], line["log_level"], line["path"]) for line in logs] == [
        ("backup.delete_failed", "warning", str(paths[2]))
    ]


def test_what_a_killed_run_left_is_deleted(tmp_path: Path) -> None:
    paths = fill(tmp_path, 1)
    (tmp_path / "sessions.db.bak-20260302020000.part").touch()
    (tmp_path / "sessions.db.bak-20260302020000.part-journal").touch()
    delete_unfinished(tmp_path, NAME)
    assert list(tmp_path.iterdir()) == paths
