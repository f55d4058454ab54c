"""Cadences of a fixed period: one grid for all processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.cadence import CadenceError, cron, every

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR = 366 * 86_400

periods = st.integers(1, YEAR) | st.sampled_from([1, 2, 3, 7, 30, 60, 300, 3_600, 86_400, YEAR])
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001 - bounds are naive


@given(periods, moments)
def test_the_next_fire_is_the_next_multiple_since_the_epoch(seconds: int, moment: datetime) -> None:
    fire = every(seconds).after(moment)
    assert (fire - EPOCH) % timedelta(seconds=seconds) == timedelta(0)
    assert timedelta(0) < fire - moment <= timedelta(seconds=seconds)
    assert fire.tzinfo is UTC


@given(periods, moments, moments)
def test_later_moments_have_no_earlier_fires(seconds: int, one: datetime, other: datetime) -> None:
    earlier, later = sorted((one, other))
    assert every(seconds).after(earlier) <= every(seconds).after(later)


@given(periods, moments, st.integers(0, 40), st.integers(0, 999_999))
def test_between_is_after_repeated(seconds: int, start: datetime, count: int, microseconds: int) -> None:
    cadence = every(seconds)
    fires = [cadence.after(start)]
    while len(fires) <= count:
        fires.append(cadence.after(fires[-1]))
    end = fires[-1] - timedelta(microseconds=1 + microseconds)  # before the last one
    assert list(cadence.between(start, end)) == [fire for fire in fires if fire <= end]
    assert list(cadence.between(start, fires[-1])) == fires
    assert {later - earlier for earlier, later in pairwise(fires)} <= {timedelta(seconds=seconds)}


@given(periods, moments)
def test_due_is_what_the_grid_says(seconds: int, moment: datetime) -> None:
    cadence = every(seconds)
    fire = cadence.after(moment)
    assert cadence.is_due(fire)
    assert cadence.is_due(fire + timedelta(microseconds=999_999))
    assert cadence.is_due(moment) == (((moment - EPOCH) // timedelta(seconds=1)) % seconds == 0)


@given(st.sampled_from(["* * * * *", "*/5 * * * *", "0 */6 * * *", "0 0 * * *"]), moments)
def test_even_specs_share_the_grid(spec: str, moment: datetime) -> None:
    period = every(int(cron(spec).interval_seconds()))
    assert cron(spec).after(moment) == period.after(moment)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "every second"),
        (3, "every 3 seconds"),
        (60, "every minute"),
        (90, "every 90 seconds"),
        (300, "every 5 minutes"),
        (3_600, "every hour"),
        (7_200, "every 2 hours"),
        (86_400, "every day"),
        (7 * 86_400, "every 7 days"),
    ],
)
def test_plain_words(seconds: int, expected: str) -> None:
    assert every(seconds).describe() == expected


def test_a_value() -> None:
    assert every(300) == every(seconds=300) != every(301)
    assert len({every(300), every(300)}) == 1
    assert str(every(300)) == repr(every(300)) == "every(seconds=300)"
    assert every(300).interval_seconds() == 300.0
    with pytest.raises(AttributeError):
        every(300).seconds = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (0, "every(seconds=0): seconds must be 1 or more; the shortest cadence is every(seconds=1)"),
        (-5, "every(seconds=-5): seconds must be 1 or more"),
        (0.5, "every(seconds=0.5): seconds must be a whole number, the grid has no fractions; write every(seconds=1)"),
        (90.0, "write every(seconds=90)"),
        (1e300, "write every(seconds=31622400)"),
        (float("nan"), "write every(seconds=30)"),
        (True, "every(seconds=True): seconds must be a whole number"),
        ("5", "write every(seconds=5)"),
        ("five", "write every(seconds=30)"),
        (None, "every(seconds=None): seconds must be a whole number"),
        (YEAR + 1, 'must be at most 31622400 (366 days); for once a year write cron("0 0 1 1 *")'),
    ],
)
def test_refusals_name_the_value_and_the_mend(seconds: object, message: str) -> None:
    with pytest.raises(CadenceError) as caught:
        every(seconds)  # type: ignore[arg-type]
    assert message in str(caught.value)
