"""Days, weeks, months and years in UTC, and the names of their archives.

    daily     2026/03/W14/30.tar.xz            within its month and ISO week
    weekly    2026/03/03-30_03-31.tar.xz       Monday to Sunday, cut at the ends of the month
    monthly   2026/03.tar.xz
    yearly    2026.tar.xz

Weeks are cut so that periods nest: the archive of a month holds the days of that month and no others.
"""

from __future__ import annotations

import calendar
import re
from datetime import date, timedelta
from enum import IntEnum
from pathlib import PurePosixPath
from typing import NamedTuple

SUFFIX = ".tar.xz"
_NAME = re.compile(
    r"(?P<year>\d{4})"
    r"(/(?P<month>\d\d)(/(W\d\d/(?P<day>\d\d)|\d\d-(?P<first>\d\d)_\d\d-\d\d))?)?"
    r"\.tar\.xz"
)


class Level(IntEnum):
    """How much one archive covers."""

    DAILY = 1
    WEEKLY = 2
    MONTHLY = 3
    YEARLY = 4

    @property
    def label(self) -> str:
        """`daily`, `weekly`, `monthly` or `yearly`."""
        return self.name.lower()


class Period(NamedTuple):
    """The days `first` to `last`, both included, as one archive covers them."""

    level: Level
    first: date
    last: date

    @classmethod
    def of(cls, level: Level, day: date) -> Period:
        """The period of that level which holds `day`."""
        month_end = date(day.year, day.month, calendar.monthrange(day.year, day.month)[1])
        if level is Level.YEARLY:
            return cls(level, date(day.year, 1, 1), date(day.year, 12, 31))
        if level is Level.MONTHLY:
            return cls(level, day.replace(day=1), month_end)
        if level is Level.WEEKLY:
            monday = day - timedelta(days=day.weekday())
            return cls(level, max(monday, day.replace(day=1)), min(monday + timedelta(days=6), month_end))
        return cls(level, day, day)

    @classmethod
    def parse(cls, path: PurePosixPath) -> Period | None:
        """The period that an archive of this name, relative to the archives' folder, covers; None for other names."""
        match = _NAME.fullmatch(str(path))
        if match is None:
            return None
        month, day = match["month"] or "01", match["day"] or match["first"] or "01"
        try:
            period = cls.of(_level(match), date(int(match["year"]), int(month), int(day)))
        except ValueError:  # a day that does not exist
            return None
        return period if period.path == path else None

    @property
    def path(self) -> PurePosixPath:
        """Where the archive lies, relative to the archives' folder."""
        first, last = self.first, self.last
        folder = PurePosixPath(f"{first:%Y}")
        match self.level:
            case Level.YEARLY:
                return PurePosixPath(f"{first:%Y}{SUFFIX}")
            case Level.MONTHLY:
                return folder / f"{first:%m}{SUFFIX}"
            case Level.WEEKLY:
                return folder / f"{first:%m}" / f"{first:%m-%d}_{last:%m-%d}{SUFFIX}"
            case Level.DAILY:
                return folder / f"{first:%m}" / f"W{first.isocalendar().week:02}" / f"{first:%d}{SUFFIX}"

    def covers(self, other: Period) -> bool:
        """Whether all days of `other` are among ours."""
        return self.first <= other.first and other.last <= self.last


def _level(match: re.Match[str]) -> Level:
    if match["month"] is None:
        return Level.YEARLY
    if match["day"]:
        return Level.DAILY
    return Level.WEEKLY if match["first"] else Level.MONTHLY
