"""Archives: old session files in `.tar.xz`, one a day, merged into weeks, months and years as they age.

job.py         the job `check_and_archive_all`
periods.py     days, weeks, months, years, and the names of their archives
plan.py        what to do, from what is there: a pure function
scan.py        what is there: session files, archives
container.py   one archive file: write, read, verify
build.py       carries a step of the plan out
"""

from __future__ import annotations

from actors.sessions.archive.job import check_and_archive_all

__all__ = ["check_and_archive_all"]
