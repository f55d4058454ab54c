from __future__ import annotations

import errno
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.sessions.archive.scan import _modified
from callboard import Run


def entry(outcome: float | OSError) -> Any:  # noqa: ANN401 - a directory entry as far as it is asked
    def stat(*, follow_symlinks: bool) -> SimpleNamespace:
        assert not follow_symlinks
        if isinstance(outcome, OSError):
            raise outcome
        return SimpleNamespace(st_mtime=outcome)

    return SimpleNamespace(path="/p/a.jsonl", stat=stat)


def test_a_files_time_is_in_utc() -> None:
    assert _modified(entry(86_400.5), Run(job="x")) == datetime(1970, 1, 2, 0, 0, 0, 500_000, UTC)


def test_a_file_that_vanished_is_no_error() -> None:
    run = Run(job="x")
    assert _modified(entry(FileNotFoundError()), run) is None
    assert run.counts == {}


@pytest.mark.parametrize("outcome", [3e11, 1e300, OSError(errno.EIO, "Input/output error")])
def test_a_time_beyond_the_calendar_or_a_broken_disk_is_counted(outcome: float | OSError) -> None:
    run = Run(job="x")
    with capture_logs() as logs:
        assert _modified(entry(outcome), run) is None
    assert run.counts == {"errors": 1}
    assert [(line["event"], line["path"]) for line in logs] == [("archive.file_unreadable", "/p/a.jsonl")]
