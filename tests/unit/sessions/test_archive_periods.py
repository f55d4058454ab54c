from __future__ import annotations

import itertools
from datetime import date, timedelta
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sessions.archive.periods import Level, Period

days = st.dates(date(1990, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("level", "path"),
    [
        (Level.DAILY, "2026/03/W14/30.tar.xz"),
        (Level.WEEKLY, "2026/03/03-30_03-31.tar.xz"),
        (Level.MONTHLY, "2026/03.tar.xz"),
        (Level.YEARLY, "2026.tar.xz"),
    ],
)
def test_names_of_archives(level: Level, path: str) -> None:
    assert str(Period.of(level, date(2026, 3, 30)).path) == path


def test_a_whole_week_runs_from_monday_to_sunday() -> None:
    assert Period.of(Level.WEEKLY, date(2026, 3, 12)) == (Level.WEEKLY, date(2026, 3, 9), date(2026, 3, 15))


def test_a_day_of_new_year_may_belong_to_last_years_iso_week() -> None:
    period = Period.of(Level.DAILY, date(2027, 1, 1))
    assert str(period.path) == "2027/01/W53/01.tar.xz"
    assert Period.parse(period.path) == period


@pytest.mark.parametrize(
    "name",
    [
        "2026/02/02-30_02-31.tar.xz",  # no such day
        "2026/03/W13/30.tar.xz",  # another ISO week
        "2026/03/03-30_04-05.tar.xz",  # a week across the end of the month
        "2026/13.tar.xz",
        "26.tar.xz",
        "2026/03/30.tar.xz",
        "2026.tar.xz.tmp",
        "notes.tar.xz",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert Period.parse(PurePosixPath(name)) is None


@given(days, st.sampled_from(Level))
def test_the_name_says_which_period_it_is(day: date, level: Level) -> None:
    period = Period.of(level, day)
    assert Period.parse(period.path) == period


@given(days)
def test_periods_nest_and_hold_the_day(day: date) -> None:
    nested = [Period.of(level, day) for level in Level]
    assert all(period.first <= day <= period.last for period in nested)
    assert all(wider.covers(finer) for finer, wider in itertools.pairwise(nested))


@given(days, st.sampled_from(Level))
def test_every_day_of_a_period_has_that_period(day: date, level: Level) -> None:
    period = Period.of(level, day)
    assert Period.of(level, period.first) == period == Period.of(level, period.last)
    assert Period.of(level, period.first - timedelta(days=1)) != period
    assert Period.of(level, period.last + timedelta(days=1)) != period
