"""When a connection is due next, through changes of the clock, leap days and long absences."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from actors.memory.clients.answer import pause_of
from actors.memory.syncs.cadence import next_sync, wall_clock, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
HALF_PAST_TWO = time(2, 30)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc] # parts of a date


def following(frequency: str, scheduled: datetime, **given: object) -> datetime | None:
    zone = given.get("zone", BERLIN)
    options = {"now": scheduled, "zone": zone, "at": wall_clock(scheduled, zone), **given}  # type: ignore[arg-type] # a zone
    return next_sync(frequency, scheduled, **options)  # type: ignore[arg-type] # as the names say


def days_of(first: datetime, number: int, frequency: str = "DAILY", at: time = HALF_PAST_TWO) -> list[datetime]:
    found = [first]
    for _ in range(number):
        due = following(frequency, found[-1], at=at)
        assert due is not None
        found.append(due)
    return found


def test_short_cadences_stay_on_their_grid_however_late_the_sync_is() -> None:
    start = utc(2026, 3, 10, 12, 2)
    assert following("REALTIME", start, now=start + timedelta(seconds=299)) == utc(2026, 3, 10, 12, 7)
    assert following("REALTIME", start, now=utc(2026, 3, 10, 12, 7)) == utc(2026, 3, 10, 12, 12)
    assert following("HOURLY", start, now=utc(2026, 3, 10, 12, 59, 59)) == utc(2026, 3, 10, 13, 2)
    assert following("MANUAL", start) is None


@pytest.mark.parametrize("frequency", ["REALTIME", "HOURLY", "DAILY", "WEEKLY"])
def test_after_a_year_of_downtime_there_is_one_sync_and_the_next_is_ahead(frequency: str) -> None:
    start, now = utc(2025, 3, 9, 1, 30), utc(2026, 3, 10, 12)
    due = following(frequency, start, now=now)
    assert due is not None
    assert now < due <= now + timedelta(days=7)
    if frequency in ("REALTIME", "HOURLY"):
        assert (due - start) % timedelta(minutes=5) == timedelta(0)
    else:
        assert due.astimezone(BERLIN).time() == HALF_PAST_TWO


def test_dst_a_daily_sync_keeps_the_tenants_time_of_day_when_the_clock_goes_forward_over_it() -> None:
    """On 29 March 2026 there is no 02:30 in Berlin: it is 03:30 that day, and 02:30 again on the next."""
    found = days_of(utc(2026, 3, 28, 1, 30), 3)
    local = [due.astimezone(BERLIN).strftime("%d %H:%M") for due in found]
    assert local == ["28 02:30", "29 03:30", "30 02:30", "31 02:30"]
    assert found[1] == utc(2026, 3, 29, 1, 30)


def test_dst_a_daily_sync_comes_once_when_its_hour_comes_twice() -> None:
    """On 25 October 2026 there are two 02:30 in Berlin."""
    found = days_of(utc(2026, 10, 24, 0, 30), 3)
    assert found == [
        utc(2026, 10, 24, 0, 30),
        utc(2026, 10, 25, 0, 30),
        utc(2026, 10, 26, 1, 30),
        utc(2026, 10, 27, 1, 30),
    ]
    between = following("DAILY", found[1], now=utc(2026, 10, 25, 1, 15), at=HALF_PAST_TWO)
    assert between == found[2], "the second 02:30 of that day is no other sync"


def test_dst_a_zone_that_skips_midnight_and_one_that_skips_a_day() -> None:
    beirut, apia = ZoneInfo("Asia/Beirut"), ZoneInfo("Pacific/Apia")
    skipped = following("DAILY", utc(2026, 3, 27, 22), zone=beirut, at=time(0, 0))
    assert skipped == utc(2026, 3, 28, 22), "29 March begins at 01:00"
    for start in (utc(2011, 12, 28, 22), utc(2011, 12, 29, 22)):
        due = following("DAILY", start, zone=apia, at=time(12, 0))
        assert due is not None
        assert start < due <= start + timedelta(days=2)


def test_leap_day_a_daily_sync_takes_place_on_it_and_a_weekly_one_counts_it() -> None:
    assert [due.day for due in days_of(utc(2028, 2, 28, 1, 30), 2)] == [28, 29, 1]
    weekly = days_of(utc(2028, 2, 23, 1, 30), 1, "WEEKLY")
    assert [(due.month, due.day) for due in weekly] == [(2, 23), (3, 1)]


def test_the_clock_set_back_an_hour_makes_no_second_sync() -> None:
    start = utc(2026, 3, 10, 12)
    for frequency in ("REALTIME", "HOURLY", "DAILY", "WEEKLY"):
        due = following(frequency, start, now=start - timedelta(hours=1))
        assert due is not None
        assert due > start


def test_a_year_of_daily_syncs_has_one_on_every_day_at_its_time() -> None:
    found = days_of(utc(2026, 1, 1, 1, 30), 366)
    assert all(timedelta(hours=23) <= late - early <= timedelta(hours=25) for early, late in pairwise(found))
    assert len({due.astimezone(BERLIN).date() for due in found}) == 367


def test_a_zone_that_nobody_knows_is_utc() -> None:
    assert zone_of("Europe/Berlin") == BERLIN
    for name in ("Mars/Olympus", "", "../../etc/passwd", "x\x00y"):
        assert zone_of(name) is UTC


def test_how_long_a_provider_wants_us_to_wait() -> None:
    now = utc(2026, 3, 10, 12).timestamp()
    assert pause_of({"retry-after": "17"}, now) == 17
    assert pause_of({"retry-after": "Tue, 10 Mar 2026 12:00:42 GMT"}, now) == 42
    assert pause_of({"retry-after": "Tue, 10 Mar 2026 11:00:00 GMT"}, now) == 0
    assert pause_of({"retry-after": "soon"}, now) is None
    assert pause_of({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(now) + 90)}, now) == 90
    assert pause_of({"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(int(now) + 90)}, now) is None
    assert pause_of({}, now) is None
