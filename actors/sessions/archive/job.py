"""The job `check_and_archive_all`: old session files into archives, archives into larger ones."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from actors.sessions.archive.build import Builder
from actors.sessions.archive.errors import ArchiveCancelled, ArchiveError
from actors.sessions.archive.periods import Level
from actors.sessions.archive.plan import Retention, Step, plan
from actors.sessions.archive.scan import archives, delete_unfinished, session_files
from actors.sessions.settings import SessionsSettings, get_sessions_settings
from callboard import NoRetry, Run, cron, current_run, job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COUNTS = {
    Level.DAILY: "daily_archived",
    Level.WEEKLY: "weekly_merged",
    Level.MONTHLY: "monthly_merged",
    Level.YEARLY: "yearly_merged",
}


@job(
    "check_and_archive_all",
    queue="maintenance",
    cadence=cron("0 * * * *"),
    retry=NoRetry(),  # the next run, an hour later, takes up what this one left
    time_limit=6 * 3600,
    single=True,
    label="Archive sessions",
)
def check_and_archive_all() -> None:
    """Archive session files that are quiet for a day, and merge archives as they age; originals are kept."""
    archive_all(get_sessions_settings(), current_run(), datetime.now(UTC))


def archive_all(settings: SessionsSettings, run: Run, now: datetime) -> None:
    """Do all that is due at `now`; a step that fails is counted and logged, and the rest goes on.

    Raises:
        ArchiveError: Every step failed.
    """
    run.count(**dict.fromkeys(_COUNTS.values(), 0), files_archived=0, errors=0)
    settings.archive_dir.mkdir(parents=True, exist_ok=True)
    with _locked(settings.archive_dir) as ours:
        if not ours:
            run.note(skipped="locked")
            run.log.warning("archive.locked", folder=str(settings.archive_dir))
            return
        delete_unfinished(settings.archive_dir)
        _carry_out(_steps(settings, run, now), settings, run)


def _steps(settings: SessionsSettings, run: Run, now: datetime) -> list[Step]:
    """The plan, without what a damaged archive has a part in: a person must look at that first."""
    retention = Retention(
        quiet=timedelta(hours=settings.archive_quiet_hours),
        daily_days=settings.archive_daily_days,
        weekly_weeks=settings.archive_weekly_weeks,
        monthly_months=settings.archive_monthly_months,
    )
    found, damaged = archives(settings.archive_dir, run)
    steps = plan(session_files(settings.claude_dir, run), found, now, retention)
    return [step for step in steps if damaged.isdisjoint([step.target, *step.parts])]


def _carry_out(steps: list[Step], settings: SessionsSettings, run: Run) -> None:
    builder = Builder(settings.archive_dir, settings.claude_dir, settings.archive_preset, lambda: run.cancelled)
    failures: list[Exception] = []
    for number, step in enumerate(steps):
        run.progress(number, len(steps), str(step.target.path))
        try:
            built = builder.build(step)
        except ArchiveCancelled:
            return
        except (ArchiveError, OSError) as error:
            failures.append(error)
            run.count(errors=1)
            run.log.warning("archive.step_failed", target=str(step.target.path), error=str(error))
        else:
            run.count(**{_COUNTS[step.target.level]: int(built.changed)}, files_archived=built.files)
    run.progress(len(steps), len(steps))
    if failures and len(failures) == len(steps):
        raise ArchiveError(f"all of {len(steps)} archives failed, the first: {failures[0]}") from failures[0]


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process alone may work on the folder; against a second installation that shares it."""
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
