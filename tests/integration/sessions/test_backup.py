from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, text

from actors.sessions.backup import BackupError, backup, list_backups, restore
from actors.sessions.backup.columns import codec_of
from actors.sessions.backup.job import make_backup
from actors.sessions.backup.snapshot import check_file
from actors.sessions.settings import get_sessions_settings
from actors.sessions.tables import continuation_chains, files, messages, metadata, session_relations, sessions
from callboard import Run, transaction
from tests.integration.sessions.seeding import add_messages

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 10, 2, 0, 0, 123456, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("sessions_home")


@pytest.fixture
def filled(sessions_home: Path) -> list[int]:
    """Rows in every table, with values that are hard to carry over."""
    del sessions_home
    ids = add_messages(["plain", "tab\there\nline \\N \\. end", "quotes \"'; --", "ünïcødé \U0001f600", ""])
    add_messages(["a question"], kind="user")
    meta = {"big": 2**80, "nested": [None, True, {"é": "\u2028"}], "precise": 0.1}
    with transaction() as connection:
        connection.execute(sessions.update().where(sessions.c.session_id == "s0").values(meta=meta, model="m"))
        connection.execute(text("UPDATE sessions.sessions SET meta = '1.10000000000000000001' WHERE session_id = 's1'"))
        connection.execute(messages.update().where(messages.c.id == ids[0]).values(timestamp=None, vector_indexed=-1))
        connection.execute(insert(session_relations).values(parent_session_id="s0", child_session_id="s1"))
        connection.execute(insert(continuation_chains).values(session_id="s1", continued_from="s0"))
        values = {"source": "claude", "inode": 2**40, "size": 2**33, "mtime_ns": 2**60, "byte_offset": 5}
        connection.execute(insert(files).values(path="/é\udce9".encode("utf-8", "replace").decode(), **values))
    return ids


@pytest.fixture
def run() -> Run:
    return Run(job="backup")


def content() -> dict[str, list[Any]]:
    """All rows of all tables, as Postgres prints them."""
    with transaction() as connection:
        return {
            table.name: sorted(connection.scalars(text(f"SELECT t::text FROM {table} t")))
            for table in metadata.sorted_tables
        }


def folder() -> Path:
    return get_sessions_settings().backup_dir


def take(run: Run, now: datetime = NOW) -> Path:
    path = make_backup(get_sessions_settings(), run, now)
    assert path is not None
    return path


def test_the_file_opens_in_sqlite_and_holds_every_table(filled: list[int], run: Run) -> None:
    path = take(run)
    assert path == folder() / "sessions.db.bak-20260310020000"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as lite:
        rows = lite.execute("SELECT id, content_text FROM messages ORDER BY id").fetchall()
        names = {name for (name,) in lite.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {table.name for table in metadata.sorted_tables} | {"backup_info", "backup_tables"}
    assert rows[1] == (filled[1], "tab\there\nline \\N \\. end")
    assert run.counts == {"created": 1, "skipped": 0, "rows": 13, "bytes": path.stat().st_size, "deleted": 0}
    assert run.notes == {"path": str(path)}


@pytest.mark.usefixtures("filled")
def test_what_is_restored_equals_what_was_backed_up(run: Run) -> None:
    before = content()
    assert all(before.values()), "a table without rows proves nothing"
    path = take(run)
    with transaction() as connection:
        connection.execute(messages.delete())
        connection.execute(sessions.update().values(cwd="/changed"))
    assert restore(path, replace=True) == 13
    assert content() == before


def test_new_rows_after_a_restore_get_new_ids(filled: list[int], run: Run) -> None:
    path = take(run)
    with transaction() as connection:
        connection.execute(text("TRUNCATE sessions.messages, sessions.sessions, sessions.projects RESTART IDENTITY"))
    restore(path, replace=True)
    assert add_messages(["new"])[0] > max(filled)


def test_ids_are_not_given_out_again_after_a_restore(run: Run) -> None:
    """Vectors are kept by id, and may be newer than the backup."""
    path = take(run)
    lost = add_messages(["lost"])
    restore(path, replace=True)
    assert add_messages(["new"]) > lost


def test_an_empty_catalogue_comes_back_empty_and_starts_at_one(run: Run) -> None:
    path = take(run)
    assert restore(path) == 0
    assert add_messages(["first"]) == [1]


@pytest.mark.usefixtures("filled")
def test_what_is_there_is_not_thrown_away_without_being_told(run: Run) -> None:
    path, before = take(run), content()
    with pytest.raises(BackupError, match=r"table sessions\.continuation_chains is not empty; pass replace=True"):
        restore(path)
    assert content() == before


@pytest.mark.usefixtures("filled")
def test_a_restore_that_fails_half_way_changes_nothing(run: Run) -> None:
    path, before = take(run), content()
    with closing(sqlite3.connect(path)) as lite, lite:
        lite.execute("UPDATE messages SET vector_indexed = 7 WHERE id = (SELECT max(id) FROM messages)")
    with pytest.raises(Exception, match="vector_indexed"):
        restore(path, replace=True)
    assert content() == before


def test_the_snapshot_is_of_one_moment(filled: list[int], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are committed while the first table is copied are not in the file, in no table."""
    monkeypatch.setenv("CALLBOARD_SESSIONS_BACKUP_BATCH_ROWS", "1")
    get_sessions_settings.cache_clear()
    late: list[int] = []

    def commit_more(*_: object) -> None:
        if not late:
            late.extend(add_messages(["too late"]))

    monkeypatch.setattr(run, "progress", commit_more)
    with closing(sqlite3.connect(take(run))) as lite:
        assert lite.execute("SELECT max(id) FROM messages").fetchone()[0] == filled[-1] + 1
        assert lite.execute("SELECT count(*) FROM sessions").fetchone() == (2,)
    assert late[0] > filled[-1] + 1


def test_one_backup_a_day_in_utc(run: Run) -> None:
    first = take(run, NOW.replace(hour=23, minute=59))
    again = Run(job="backup")
    assert make_backup(get_sessions_settings(), again, NOW) is None
    assert again.counts == {"created": 0, "skipped": 1, "deleted": 0}
    assert again.notes == {"path": str(first)}
    assert take(Run(job="backup"), NOW + timedelta(days=1)) != first


def test_the_newest_thirty_are_kept(run: Run) -> None:
    folder().mkdir(parents=True)
    for day in range(1, 32):
        (folder() / f"sessions.db.bak-202601{day:02}020000").touch()
    newest = take(run)
    kept = list_backups(folder(), "sessions.db")
    assert len(kept) == 30
    assert kept[0].path == newest
    assert kept[-1].path.name == "sessions.db.bak-20260103020000"
    assert run.counts["deleted"] == 2


def test_the_job_backs_up_today(callboard_run: Run) -> None:
    backup()
    (taken,) = list_backups(folder(), "sessions.db")
    assert datetime.now(UTC) - taken.taken_at < timedelta(minutes=5)
    assert callboard_run.counts["created"] == 1


def test_what_a_killed_run_left_is_replaced(run: Run) -> None:
    folder().mkdir(parents=True)
    part = folder() / "sessions.db.bak-20260310020000.part"
    part.write_text("half")
    path = take(run)
    assert [each.name for each in folder().iterdir()] == [path.name]


@pytest.mark.usefixtures("filled")
def test_a_cancelled_run_leaves_nothing_behind(run: Run) -> None:
    run.request_cancel()
    assert make_backup(get_sessions_settings(), run, NOW) is None
    assert list(folder().iterdir()) == []
    assert run.cancel_was_seen


@pytest.mark.usefixtures("filled")
def test_a_full_disk_leaves_no_file_and_names_the_mend(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect

    def small_disk(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401 - sqlite3's own
        lite: sqlite3.Connection = connect(*args, **kwargs)
        lite.execute("PRAGMA max_page_count = 12")
        return lite

    monkeypatch.setattr(sqlite3, "connect", small_disk)
    with pytest.raises(BackupError, match=r"database or disk is full; free space .* CALLBOARD_SESSIONS_BACKUP_DIR"):
        make_backup(get_sessions_settings(), run, NOW)
    assert list(folder().iterdir()) == []


class TestDamage:
    """Files that are no whole backup are refused, whatever is wrong with them."""

    @pytest.fixture
    def path(self, filled: list[int], run: Run) -> Path:
        del filled
        return take(run)

    def change(self, path: Path, statement: str) -> None:
        with closing(sqlite3.connect(path)) as lite, lite:
            lite.execute(statement)

    def test_missing(self, path: Path) -> None:
        with pytest.raises(BackupError, match=r"no backup .*/gone: give the path"):
            restore(path.with_name("gone"))

    def test_no_sqlite_file(self, path: Path) -> None:
        path.write_text("something else")
        with pytest.raises(BackupError, match="no backup, or damaged"):
            restore(path)

    def test_cut_off(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(BackupError, match="damaged"):
            restore(path)

    def test_bad_pages(self, path: Path) -> None:
        self.change(path, "CREATE INDEX extra ON messages (content_text)")
        self.change(path, "PRAGMA writable_schema = 1")
        with closing(sqlite3.connect(path)) as lite, lite:
            lite.execute("PRAGMA writable_schema = 1")
            lite.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'extra'")
        with pytest.raises(BackupError, match="damaged"):
            check_file(path)

    def test_rows_are_missing(self, path: Path) -> None:
        self.change(path, "DELETE FROM messages")
        with pytest.raises(BackupError, match="'messages': 0"):
            restore(path)

    def test_another_format(self, path: Path) -> None:
        self.change(path, "UPDATE backup_info SET format = 2")
        with pytest.raises(BackupError, match="format 2, this version reads 1"):
            restore(path)

    def test_another_version_of_the_tables(self, path: Path) -> None:
        self.change(path, "ALTER TABLE messages DROP COLUMN content_full")
        with pytest.raises(BackupError, match=r"lacks messages\.content_full"):
            restore(path, replace=True)

    def test_a_column_with_a_default_may_be_missing(self, path: Path) -> None:
        self.change(path, "ALTER TABLE sessions DROP COLUMN session_type")
        restore(path, replace=True)
        with transaction() as connection:
            assert set(connection.scalars(select(sessions.c.session_type))) == {"main"}


def test_every_column_of_the_catalogue_has_a_codec() -> None:
    for table in metadata.sorted_tables:
        for column in table.columns:
            assert codec_of(column).sqlite_type
