"""What to do, from the files and archives that are there: a pure function.

Every day has one home for its files, which only its age decides: an archive of its own at first, that of its week once
the whole week is older than `daily_days`, that of its month once the whole month is older than `weekly_weeks`, that of
its year once the whole year is older than `monthly_months`, and there for ever. A file is in its day's home, or a step
of the plan brings it there; so is an archive that has outgrown its home. It does not matter what came before: files
that turn up late, weeks without a run and a merge that died half-way all end as steps of the same kind, which write one
archive from an older version of itself, from smaller archives and from files.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

from actors.sessions.archive.periods import Level, Period

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    Archives = Mapping[Period, AbstractSet[str]]


class SessionFile(NamedTuple):
    """A session file as found; `modified` is aware of its zone."""

    folder: str
    name: str
    modified: datetime

    @property
    def day(self) -> date:
        """The day, in UTC, that the file is filed under."""
        return self.modified.astimezone(UTC).date()

    @property
    def member(self) -> str:
        """Its path within an archive. With the day in it, a file that grew later never meets its older version."""
        return f"{self.day.isoformat()}/{self.folder}/{self.name}"


@dataclass(frozen=True, slots=True)
class Retention:
    """When a day is archived, and how long its archive stays as fine as it is."""

    quiet: timedelta = timedelta(hours=24)
    daily_days: int = 7
    weekly_weeks: int = 4
    monthly_months: int = 12


@dataclass(slots=True)
class Step:
    """Write the archive `target` from its older self (if `extends`), smaller archives and files; delete `parts`."""

    target: Period
    extends: bool
    parts: list[Period] = field(default_factory=list)
    files: list[SessionFile] = field(default_factory=list)


def is_due(day: date, now: datetime, retention: Retention) -> bool:
    """Whether the day is over for so long that none of its files can still be changing.

    A day is archived as a whole: a file that is quiet for a day while its neighbours are not yet waits for them.
    """
    return now >= datetime.combine(day + timedelta(days=1), time(), UTC) + retention.quiet


def home(day: date, now: datetime, retention: Retention) -> Period:
    """The archive that the files of a day belong in."""
    today = now.astimezone(UTC).date()
    for level in (Level.YEARLY, Level.MONTHLY, Level.WEEKLY):
        period = Period.of(level, day)
        if today >= _merged_on(period, retention):
            return period
    return Period.of(Level.DAILY, day)


def _merged_on(period: Period, retention: Retention) -> date:
    """The first day on which all of the period is old enough to be one archive."""
    end = period.last + timedelta(days=1)
    match period.level:
        case Level.YEARLY:
            return _add_months(end, retention.monthly_months)
        case Level.MONTHLY:
            return end + timedelta(weeks=retention.weekly_weeks)
        case _:
            return end + timedelta(days=retention.daily_days)


def _add_months(first_of_month: date, months: int) -> date:
    years, month = divmod(first_of_month.month - 1 + months, 12)
    return date(first_of_month.year + years, month + 1, 1)


def plan(files: Iterable[SessionFile], archives: Archives, now: datetime, retention: Retention) -> list[Step]:
    """The steps that bring every archive and every file that is due to its home, oldest period first.

    Args:
        files: Session files that are there now.
        archives: Members of each archive that is there now.
        now: The time, aware of its zone.
        retention: Ages at which archives are merged.
    """
    steps: dict[Period, Step] = {}

    def step_for(period: Period) -> Step:
        target = _target(period, archives, now, retention)
        return steps.setdefault(target, Step(target, extends=target in archives))

    for period in sorted(archives):
        if _target(period, archives, now, retention) != period:
            step_for(period).parts.append(period)
    for file in _missing(files, archives, now, retention):
        step_for(Period.of(Level.DAILY, file.day)).files.append(file)
    return sorted(steps.values(), key=lambda step: (step.target.first, step.target.level))


def _target(period: Period, archives: Archives, now: datetime, retention: Retention) -> Period:
    """The home of a period's days; where an archive that is there covers more than that home, it is the home."""
    wanted = max(period, home(period.first, now, retention), key=lambda each: each.level)
    covering = [each for level in Level if (each := Period.of(level, period.first)) in archives]
    return max([wanted, *covering], key=lambda each: each.level)


def _missing(
    files: Iterable[SessionFile], archives: Archives, now: datetime, retention: Retention
) -> list[SessionFile]:
    """Files that are due and in none of the archives that may hold their day, by day and name."""
    days: dict[date, list[SessionFile]] = defaultdict(list)
    for file in files:
        days[file.day].append(file)
    missing = []
    for day in sorted(days):
        if is_due(day, now, retention):
            covering = [archives[each] for level in Level if (each := Period.of(level, day)) in archives]
            missing += [file for file in sorted(days[day]) if not any(file.member in members for members in covering)]
    return missing
