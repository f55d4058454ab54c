from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from actors.sessions.archive import check_and_archive_all, container
from actors.sessions.archive.build import Builder, Built
from actors.sessions.archive.errors import ArchiveDamaged, ArchiveError
from actors.sessions.archive.job import archive_all
from actors.sessions.archive.periods import Period
from actors.sessions.settings import SessionsSettings, get_sessions_settings
from callboard import Run
from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from actors.sessions.archive.plan import Step

NOW = datetime(2026, 3, 12, 1, 0, tzinfo=UTC)
NOTHING = {
    "daily_archived": 0,
    "weekly_merged": 0,
    "monthly_merged": 0,
    "yearly_merged": 0,
    "files_archived": 0,
    "errors": 0,
}


@pytest.fixture
def settings(tmp_path: Path) -> SessionsSettings:
    return SessionsSettings().model_copy(
        update={"claude_dir": tmp_path / "projects", "archive_dir": tmp_path / "archives", "archive_preset": 0}
    )


@pytest.fixture
def archives(settings: SessionsSettings) -> Path:
    return settings.archive_dir


def write(settings: SessionsSettings, name: str, content: str, modified: datetime) -> Path:
    """A session file `<project>/<name>` that was last written then."""
    path = settings.claude_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


def archive(settings: SessionsSettings, now: datetime = NOW) -> dict[str, int]:
    """Counts of a run at that time."""
    run = Run(job="check_and_archive_all")
    archive_all(settings, run, now)
    return run.counts


def files_in(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    )


def unpacked(path: Path) -> dict[str, str]:
    """What an ordinary tool finds in an archive."""
    with tarfile.open(path, "r:xz") as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        return {name: stream.read().decode() for name, stream in members.items() if stream and name != "SHA256SUMS"}


def test_a_quiet_day_becomes_an_archive_and_originals_stay(settings: SessionsSettings, archives: Path) -> None:
    first = write(settings, "p/a.jsonl", "one\n", NOW - timedelta(days=2, hours=1))
    write(settings, "q/a.jsonl", "same name\n", NOW - timedelta(days=2))
    write(settings, "p/young.jsonl", "y\n", NOW - timedelta(hours=24))
    write(settings, "p/notes.txt", "n\n", NOW - timedelta(days=9))
    write(settings, "p/deep/sub.jsonl", "s\n", NOW - timedelta(days=9))
    write(settings, "loose.jsonl", "l\n", NOW - timedelta(days=9))
    assert archive(settings) == {**NOTHING, "daily_archived": 1, "files_archived": 2}
    assert files_in(archives) == ["2026/03/W11/10.tar.xz"]
    path = archives / "2026/03/W11/10.tar.xz"
    assert unpacked(path) == {"2026-03-10/p/a.jsonl": "one\n", "2026-03-10/q/a.jsonl": "same name\n"}
    assert container.read_checksums(path)["2026-03-10/p/a.jsonl"] == hashlib.sha256(b"one\n").hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.read_text() == "one\n"
    with tarfile.open(path) as tar:
        assert tar.getmember("2026-03-10/p/a.jsonl").mtime == first.stat().st_mtime
    assert archive(settings) == NOTHING, "a second run finds work"


def test_the_job_reads_its_folders_from_the_settings(sessions_home: Path, callboard_run: Run) -> None:
    folder = get_sessions_settings().claude_dir / "p"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("old")
    os.utime(folder / "a.jsonl", (0, 0))
    check_and_archive_all()
    assert callboard_run.counts == {**NOTHING, "yearly_merged": 1, "files_archived": 1}
    assert (sessions_home / "sessions/archives/1970.tar.xz").is_file()


def test_months_pass_and_every_version_of_every_file_is_in_exactly_one_archive(
    settings: SessionsSettings, archives: Path
) -> None:
    """One file a day, one that grows all the time; runs at odd intervals until all is two years old."""
    expected: dict[str, str] = {}
    now = datetime(2025, 11, 20, 7, 0, tzinfo=UTC)
    for day in range(60):
        now += timedelta(days=1)
        for name, content in ((f"p/{day}.jsonl", f"{day}\n"), ("p/grows.jsonl", "line\n" * (day // 5 + 1))):
            if name != "p/grows.jsonl" or day % 5 == 0:
                write(settings, name, content, now)
                expected[f"{now.date()}/{name}"] = content
        if day % 3 == 0:
            archive(settings, now)
    for days in (3, 10, 20, 30, 60, 365, 400):
        now += timedelta(days=days)
        archive(settings, now)
        found = [item for name in files_in(archives) for item in unpacked(archives / name).items()]
        assert len(found) == len(expected)
        assert dict(found) == expected
    assert files_in(archives) == ["2025.tar.xz", "2026.tar.xz"]
    assert [path.name for path in archives.iterdir() if path.is_dir()] == []


def test_a_late_file_joins_the_archive_of_its_day_wherever_that_went(
    settings: SessionsSettings, archives: Path
) -> None:
    write(settings, "p/a.jsonl", "a", datetime(2024, 5, 6, tzinfo=UTC))
    archive(settings)
    write(settings, "p/late.jsonl", "late", datetime(2024, 8, 9, tzinfo=UTC))
    assert archive(settings) == {**NOTHING, "yearly_merged": 1, "files_archived": 1}
    assert unpacked(archives / "2024.tar.xz") == {"2024-05-06/p/a.jsonl": "a", "2024-08-09/p/late.jsonl": "late"}


def test_an_archive_outlives_its_originals(settings: SessionsSettings, archives: Path) -> None:
    write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
    archive(settings)
    shutil.rmtree(settings.claude_dir)
    archive(settings, NOW + timedelta(days=1000))
    assert unpacked(archives / "2026.tar.xz") == {"2026-03-09/p/a.jsonl": "a"}


class TestInterrupted:
    """A run that dies leaves either the old state or the new one, and the next run finishes."""

    def test_before_the_rename(self, settings: SessionsSettings, archives: Path) -> None:
        write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        leftover = archives / "2026/03/W11/09.tar.xz.tmp"
        leftover.parent.mkdir(parents=True)
        leftover.write_text("half")
        assert archive(settings)["daily_archived"] == 1
        assert files_in(archives) == ["2026/03/W11/09.tar.xz"]

    def test_between_rename_and_delete(
        self, settings: SessionsSettings, archives: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for day in (2, 3):
            write(settings, f"p/{day}.jsonl", str(day), NOW - timedelta(days=day))
        archive(settings)
        before = files_in(archives)
        later = NOW + timedelta(days=12)
        with monkeypatch.context() as patch:
            patch.setattr(Builder, "_delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                archive(settings, later)
        week = "2026/03/03-09_03-15.tar.xz"
        assert files_in(archives) == sorted([*before, week])
        written = (archives / week).stat().st_mtime_ns
        assert archive(settings, later)["weekly_merged"] == 1
        assert files_in(archives) == [week]
        assert (archives / week).stat().st_mtime_ns == written, "a finished merge is done again"

    def test_killed_at_any_moment(self, settings: SessionsSettings, archives: Path) -> None:
        """A real process with `kill -9`, again and again, until one run gets through."""
        noise = os.urandom(300_000).hex()
        for day in range(20):
            write(settings, f"p/{day}.jsonl", f"{day}{noise}", NOW - timedelta(days=3 + 40 * day))
        expected = {
            f"{(NOW - timedelta(days=3 + 40 * day)).date()}/p/{day}.jsonl": f"{day}{noise}" for day in range(20)
        }
        for finished in (0, 2, 5, 9):
            kill_while_writing(settings, finished)
            for path in archives.rglob("*.tar.xz"):
                container.verify(path, container.read_checksums(path))
        archive(settings)
        found = [item for name in files_in(archives) for item in unpacked(archives / name).items()]
        assert len(found) == len(expected)
        assert dict(found) == expected


def kill_while_writing(settings: SessionsSettings, finished: int) -> None:
    """Start a run, and kill it in the middle of an archive once so many are there."""
    process = start_run(settings)

    def in_the_middle() -> bool:
        done = len(list(settings.archive_dir.rglob("*.tar.xz")))
        return process.poll() is not None or (done >= finished and any(settings.archive_dir.rglob("*.tmp")))

    eventually(in_the_middle, 30, every=0.001)
    process.kill()
    process.wait()


def start_run(settings: SessionsSettings) -> subprocess.Popen[bytes]:
    script = (
        "from actors.sessions.archive.job import archive_all\n"
        "from actors.sessions.settings import get_sessions_settings\n"
        "from callboard import Run\n"
        "from datetime import datetime\n"
        f"archive_all(get_sessions_settings(), Run(job='x'), datetime.fromisoformat({NOW.isoformat()!r}))\n"
    )
    folders = {
        "CALLBOARD_SESSIONS_CLAUDE_DIR": str(settings.claude_dir),
        "CALLBOARD_SESSIONS_ARCHIVE_DIR": str(settings.archive_dir),
    }
    return subprocess.Popen([sys.executable, "-c", script], env=os.environ | folders, stderr=subprocess.DEVNULL)


class TestFaults:
    """What is wrong is counted and logged; the rest goes on, and nothing is lost."""

    @pytest.fixture
    def two_days(self, settings: SessionsSettings) -> None:
        write(settings, "p/a.jsonl", "a" * 1000, NOW - timedelta(days=3))
        write(settings, "p/b.jsonl", "b" * 1000, NOW - timedelta(days=2))
        archive(settings)

    @pytest.mark.usefixtures("two_days")
    def test_a_damaged_part_is_not_merged_and_not_deleted(self, settings: SessionsSettings, archives: Path) -> None:
        part = archives / "2026/03/W11/09.tar.xz"
        good = part.read_bytes()
        part.write_bytes(good[: len(good) // 2])
        with capture_logs() as logs:
            counts = archive(settings, NOW + timedelta(days=12))
        assert counts["errors"] == 1
        assert counts["weekly_merged"] == 0
        assert [line["event"] for line in logs] == ["archive.damaged"]
        assert files_in(archives) == ["2026/03/W11/09.tar.xz", "2026/03/W11/10.tar.xz"]
        part.write_bytes(good)
        assert archive(settings, NOW + timedelta(days=12))["weekly_merged"] == 1

    def test_damage_behind_the_checksums_is_found_by_the_merge(
        self, settings: SessionsSettings, archives: Path
    ) -> None:
        write(settings, "p/a.jsonl", os.urandom(200_000).hex(), NOW - timedelta(days=3))
        write(settings, "p/b.jsonl", "b", NOW - timedelta(days=8))
        archive(settings)
        part = archives / "2026/03/W11/09.tar.xz"
        content = bytearray(part.read_bytes())
        content[-3000] ^= 1
        part.write_bytes(content)
        counts = archive(settings, NOW + timedelta(days=12))
        assert (counts["weekly_merged"], counts["errors"]) == (1, 1)
        assert files_in(archives) == ["2026/03/03-02_03-08.tar.xz", "2026/03/W11/09.tar.xz"]
        assert part.read_bytes() == content

    @pytest.mark.usefixtures("two_days")
    def test_equal_names_with_other_content_are_a_conflict(self, settings: SessionsSettings, archives: Path) -> None:
        (archives / "2026/03/W11/10.tar.xz").unlink()
        twin = archives / "2026/03/03-09_03-15.tar.xz"
        shutil.copy(archives / "2026/03/W11/09.tar.xz", twin)
        (archives / "2026/03/W11/09.tar.xz").unlink()
        for path in (settings.claude_dir / "p").iterdir():
            path.unlink()
        write(settings, "p/a.jsonl", "other", NOW - timedelta(days=3))
        other = settings.model_copy(update={"archive_dir": archives.parent / "other"})
        archive(other)
        shutil.copy(other.archive_dir / "2026/03/W11/09.tar.xz", archives / "2026/03/W11/09.tar.xz")
        with pytest.raises(ArchiveError, match=r"holds another 2026-03-09/p/a\.jsonl than the archives it is merged"):
            archive(settings, NOW)
        assert unpacked(twin) == {"2026-03-09/p/a.jsonl": "a" * 1000}
        assert unpacked(archives / "2026/03/W11/09.tar.xz") == {"2026-03-09/p/a.jsonl": "other"}

    def test_a_file_that_changes_while_it_is_read_waits(
        self, settings: SessionsSettings, archives: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(settings, "p/a.jsonl", "before", NOW - timedelta(days=3))
        write(settings, "p/b.jsonl", "b", NOW - timedelta(days=4))
        original = Builder._write

        def change_first(self: Builder, target: Period, *rest: object) -> None:
            if target.first.day == 9:
                path.write_text("after and longer")
            original(self, target, *rest)  # type: ignore[arg-type]  # handed on

        monkeypatch.setattr(Builder, "_write", change_first)
        with capture_logs() as logs:
            assert archive(settings) == {**NOTHING, "daily_archived": 1, "files_archived": 1, "errors": 1}
        (line,) = [line for line in logs if line["event"] == "archive.step_failed"]
        assert "it changed while it was read" in line["error"]
        assert files_in(archives) == ["2026/03/W10/08.tar.xz"]

    @pytest.mark.parametrize("event", ["deleted", "written to"])
    def test_a_file_that_changed_since_the_plan_waits(
        self, settings: SessionsSettings, archives: Path, monkeypatch: pytest.MonkeyPatch, event: str
    ) -> None:
        path = write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        original = Builder.build

        def change_first(self: Builder, step: Step) -> Built:
            path.unlink() if event == "deleted" else path.write_text("more")
            return original(self, step)

        monkeypatch.setattr(Builder, "build", change_first)
        assert archive(settings) == NOTHING
        assert files_in(archives) == []

    def test_a_folder_that_cannot_be_written_fails_the_run(self, settings: SessionsSettings, archives: Path) -> None:
        write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        archives.mkdir()
        (archives / "2026").write_text("a file where a folder should be")
        with pytest.raises(ArchiveError, match=r"all of 1 archives failed, the first: .*2026"):
            archive(settings)

    def test_links_and_files_from_the_future_are_left(self, settings: SessionsSettings, archives: Path) -> None:
        target = write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        (settings.claude_dir / "p" / "link.jsonl").symlink_to(target)
        (settings.claude_dir / "p" / "dangling.jsonl").symlink_to("/nowhere")
        write(settings, "p/future.jsonl", "f", NOW + timedelta(days=99))
        assert archive(settings)["files_archived"] == 1
        assert list(unpacked(archives / "2026/03/W11/09.tar.xz")) == ["2026-03-09/p/a.jsonl"]

    def test_names_in_bad_utf8_are_archived(self, settings: SessionsSettings, archives: Path) -> None:
        write(settings, "p/\udcff\nbad.jsonl", "bad", NOW - timedelta(days=3))
        assert archive(settings)["files_archived"] == 1
        assert unpacked(archives / "2026/03/W11/09.tar.xz") == {"2026-03-09/p/\udcff\nbad.jsonl": "bad"}

    def test_other_files_in_the_folder_are_left(self, settings: SessionsSettings, archives: Path) -> None:
        archives.mkdir()
        (archives / "mine.tar.xz").write_text("mine")
        with capture_logs() as logs:
            assert archive(settings) == NOTHING
        assert [line["event"] for line in logs] == ["archive.unknown_file"]
        assert files_in(archives) == ["mine.tar.xz"]

    def test_a_second_process_keeps_out(self, settings: SessionsSettings, archives: Path) -> None:
        write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        archives.mkdir()
        with (archives / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert archive(settings) == NOTHING
        assert archive(settings)["daily_archived"] == 1

    def test_a_cancelled_run_leaves_no_half_archive(self, settings: SessionsSettings, archives: Path) -> None:
        write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
        run = Run(job="x")
        run.request_cancel()
        archive_all(settings, run, NOW)
        assert run.cancel_was_seen
        assert files_in(archives) == []


def test_a_folder_that_cannot_be_read_is_counted_and_left(settings: SessionsSettings) -> None:
    settings.claude_dir.write_text("a file where a folder should be")
    with capture_logs() as logs:
        assert archive(settings) == {**NOTHING, "errors": 1}
    assert [line["event"] for line in logs] == ["archive.folder_unreadable"]


def test_verify_reads_to_the_very_end(settings: SessionsSettings, archives: Path) -> None:
    write(settings, "p/a.jsonl", "a", NOW - timedelta(days=3))
    archive(settings)
    path = archives / "2026/03/W11/09.tar.xz"
    digests = container.read_checksums(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(ArchiveDamaged, match="cannot be read"):
        container.verify(path, digests)
