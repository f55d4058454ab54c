"""Cron cadences: rules, words, refusals."""

from __future__ import annotations

import copy
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pendulum
import pytest

from callboard.cadence import Cadence, CadenceError, cron, every
from callboard.errors import CallboardError, DeclarationError

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def fires(cadence: Cadence, start: datetime, days: int) -> list[datetime]:
    return list(cadence.between(start - SECOND, start + timedelta(days=days) - SECOND))


@pytest.mark.parametrize("spec", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN", "@weekly", " @Weekly "])
def test_sunday_in_every_spelling_fires_on_each_sunday(spec: str) -> None:
    assert fires(cron(spec), SUNDAY, 28) == [SUNDAY + timedelta(weeks=week) for week in range(4)]


@pytest.mark.parametrize("spec", ["0 0 * * 0-6", "0 0 * * 1-7", "0 0 * * */1", "0 0 * * sun-sat"])
def test_all_weekdays_include_sunday(spec: str) -> None:
    assert len(fires(cron(spec), SUNDAY, 14)) == 14


def test_office_hours_lose_no_fire() -> None:
    week = fires(cron("*/15 9-17 * * 1-5"), SUNDAY, 7)
    monday = SUNDAY + timedelta(days=1)
    expected = [
        monday + timedelta(days=day, hours=hour, minutes=minute)
        for day in range(5)
        for hour in range(9, 18)
        for minute in (0, 15, 30, 45)
    ]
    assert week == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("@hourly", "2026-11-22T13:00"),
        ("@daily", "2026-11-23T00:00"),
        ("@midnight", "2026-11-23T00:00"),
        ("@monthly", "2026-12-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
        ("5/15 * * * *", "2026-11-22T12:50"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 L * *", "2026-11-30T00:00"),
        ("0 0 LW 2 *", "2027-02-26T00:00"),
        ("0 0 * * 5L", "2026-11-27T00:00"),
        ("0 0 * * mon#1", "2026-12-07T00:00"),
        ("0 0 * * 1/2", "2026-11-23T00:00"),
        ("0 6 * JAN,jul Mon", "2027-01-04T06:00"),
        ("30 12 22 11 *", "2027-11-22T12:30"),
    ],
)
def test_next_fire(spec: str, expected: str) -> None:
    noon = datetime(2026, 11, 22, 12, 35, tzinfo=UTC)
    assert cron(spec).after(noon).isoformat(timespec="minutes") == f"{expected}+00:00"


def test_two_restricted_day_fields_mean_either() -> None:
    days = [fire.day for fire in fires(cron("0 0 1,15 * mon"), datetime(2026, 11, 1, tzinfo=UTC), 30)]
    assert days == [1, 2, 9, 15, 16, 23, 30]


@pytest.mark.parametrize(("spec", "days"), [("0 0 */2 * mon", [9, 23]), ("0 0 9-15 * */3", [11, 14, 15])])
def test_a_day_field_that_begins_with_a_star_must_match_too(spec: str, days: list[int]) -> None:
    """Vixie's rule, as cronsim has it: dates and weekdays are ANDed where either field begins with `*`."""
    assert [fire.day for fire in fires(cron(spec), datetime(2026, 11, 1, tzinfo=UTC), 30)] == days


def test_step_over_weekdays_reaches_sunday_as_seven() -> None:
    assert [fire.strftime("%a") for fire in fires(cron("0 0 * * 1/2"), SUNDAY, 7)] == ["Sun", "Mon", "Wed", "Fri"]


def test_after_is_strict_and_to_the_second() -> None:
    hourly = cron("0 * * * *")
    assert hourly.after(SUNDAY) == SUNDAY + timedelta(hours=1)
    assert hourly.after(SUNDAY - timedelta(microseconds=1)) == SUNDAY
    assert hourly.after(SUNDAY).tzinfo is UTC


def test_the_zone_of_the_moment_does_not_matter() -> None:
    nightly = cron("30 2 * * *")
    for zone in (ZoneInfo("Europe/Paris"), ZoneInfo("America/New_York"), timezone(timedelta(hours=-11, minutes=-30))):
        for hours in range(0, 400 * 24, 7):
            moment = SUNDAY + timedelta(hours=hours)
            assert nightly.after(moment.astimezone(zone)) == nightly.after(moment)


def test_daylight_saving_of_the_host_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    start = datetime(2026, 3, 28, tzinfo=UTC)  # Europe changes its clocks on the 29th, at 01:00 UTC
    expected = [start + timedelta(days=day, hours=2, minutes=30) for day in range(3)]
    try:
        monkeypatch.setenv("TZ", "Europe/Paris")
        time.tzset()
        assert fires(cron("30 2 * * *"), start, 3) == expected
        assert fires(cron("30 2 * * *"), start.astimezone(), 3) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


def test_between_is_lazy_and_bounded_on_the_right() -> None:
    minutely = cron("* * * * *")
    endless = minutely.between(SUNDAY, datetime.max.replace(tzinfo=UTC))
    assert next(endless) == SUNDAY + timedelta(minutes=1)
    assert list(minutely.between(SUNDAY, SUNDAY + timedelta(minutes=1))) == [SUNDAY + timedelta(minutes=1)]
    assert list(minutely.between(SUNDAY, SUNDAY)) == []
    assert list(minutely.between(SUNDAY + timedelta(days=1), SUNDAY)) == []


@pytest.mark.parametrize("cadence", [cron("*/5 * * * *"), every(300)])
def test_due_within_the_second_of_a_fire_only(cadence: Cadence) -> None:
    assert cadence.is_due(SUNDAY)
    assert cadence.is_due(SUNDAY + timedelta(microseconds=999_999))
    assert not cadence.is_due(SUNDAY - timedelta(microseconds=1))
    assert not cadence.is_due(SUNDAY + timedelta(seconds=30)), "a restart within the minute must not fire again"
    assert cadence.validate(pendulum.instance(SUNDAY).in_timezone("Asia/Kathmandu"))


def test_equal_by_meaning_and_written_as_given() -> None:
    spellings = [cron(spec) for spec in ("@weekly", "0 0 * * 0", "0 0 * * 7", "00 0 * * Sun", "0 0 * * 0,7")]
    assert len(set(spellings)) == 1
    assert [str(cadence) for cadence in spellings[:2]] == ["@weekly", "0 0 * * 0"]
    assert repr(spellings[0]) == "cron('@weekly')"
    assert cron("0 0 * * 7#1") == cron("0 0 * * sun#1") != cron("0 0 * * sun")
    assert cron("0 0 1 * mon") != cron("0 0 */31 * mon"), "the same days, but either against both"
    minutely: list[Cadence] = [cron("* * * * *"), every(60)]
    assert minutely[0] != minutely[1]


def test_immutable_and_unmoved_by_use() -> None:
    cadence = cron("*/5 * * * *")
    first = cadence.after(SUNDAY)
    list(islice(cadence.between(SUNDAY, SUNDAY + timedelta(days=9)), 100))
    assert cadence.after(SUNDAY) == first
    assert copy.deepcopy(cadence) == cadence
    with pytest.raises(AttributeError):
        cadence.spec = "* * * * *"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("0,15,30,45 * * * *", "every 15 minutes"),
        ("*/7 * * * *", "*/7 * * * *"),
        ("@hourly", "every hour"),
        ("30 * * * *", "every hour at :30"),
        ("0 */6 * * *", "every 6 hours"),
        ("0 2 * * *", "every day at 02:00 UTC"),
        ("0 2,14 * * *", "every day at 02:00 and 14:00 UTC"),
        ("0 2,15 * * 0-6", "every day at 02:00 and 15:00 UTC"),
        ("0 0 * * 0", "every Sunday at 00:00 UTC"),
        ("0 0 * * 7", "every Sunday at 00:00 UTC"),
        ("30 6 * * mon-fri", "every Monday to Friday at 06:30 UTC"),
        ("30 6 * * mon,wed,fri", "every Monday, Wednesday and Friday at 06:30 UTC"),
        ("0 0 1 * *", "on day 1 of every month at 00:00 UTC"),
        ("0 4 L * *", "on the last day of every month at 04:00 UTC"),
        ("0 4 LW * *", "on the last working day of every month at 04:00 UTC"),
        ("0 0 1 1 *", "on day 1 of January at 00:00 UTC"),
        ("0 0 1 jan,jul *", "on day 1 of January and July at 00:00 UTC"),
        ("0 0 1,15 * mon", "0 0 1,15 * mon"),
        ("0 0 1,15 * *", "0 0 1,15 * *"),
        ("0 0 * 6 mon", "0 0 * 6 mon"),
        ("0 0 * * mon#1", "0 0 * * mon#1"),
        ("*/15 9-17 * * 1-5", "*/15 9-17 * * 1-5"),
        ("0 1,2,3,4,5 * * *", "0 1,2,3,4,5 * * *"),
    ],
)
def test_plain_words(spec: str, expected: str) -> None:
    assert cron(spec).describe() == expected


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ("* * * * *", 60),
        ("*/5 * * * *", 300),
        ("*/7 * * * *", 240),  # :56 to :00
        ("0 * * * *", 3_600),
        ("0 0,23 * * *", 3_600),  # 23:00 to 00:00 of the next day
        ("0 2 * * *", 86_400),
        ("@weekly", 7 * 86_400),
        ("0 0 * * mon,wed,fri", 2 * 86_400),
        ("0 0 1 * *", 28 * 86_400),
        ("0 0 1 1 *", 365 * 86_400),
        ("0 0 29 2 *", 1_461 * 86_400),
        ("0 0 1 * mon", 86_400),  # a 1st that falls on a Sunday
        ("0 0,23 * * mon", 23 * 3_600),
        ("*/15 9-17 * * 1-5", 900),
    ],
)
def test_interval_is_the_smallest_gap(spec: str, seconds: float) -> None:
    cadence = cron(spec)
    assert cadence.interval_seconds() == seconds
    sample = list(islice(cadence.between(SUNDAY, SUNDAY + timedelta(days=3_000)), 400))
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(sample)]
    assert min(gaps, default=seconds) == seconds


REFUSED = [
    ("0 0 31 2 *", "never fires", 'cron("0 0 L 2 *")'),
    ("0 0 30,31 feb *", "never fires", "day-of-month '30,31', month 'feb'"),
    ("0 0 31 4,6,9,11 */2", "never fires", "write L"),
    ("0 0 */31 2 1#5", "never fires", "write L"),
    ("60 * * * *", "minute '60'", "0-59"),
    ("* 24 * * *", "hour '24'", "0-23"),
    ("* * 0 * *", "day-of-month '0'", "1-31"),
    ("* * * 13 *", "month '13'", "jan-dec"),
    ("* * * foo *", "month 'foo'", "jan-dec"),
    ("* * * * 8", "day-of-week '8'", "0 and 7 are Sunday"),
    ("0,61 * * * *", "has an item '61'", "0-59"),
    ("-1 * * * *", "minute '-1'", "0-59"),
    ("1.5 * * * *", "minute '1.5'", "0-59"),
    ("? * * * *", "minute '?'", "0-59"),
    ("* * L-3 * *", "day-of-month 'L-3'", "L for the last day"),
    ("1,,2 * * * *", "empty item", "remove the extra comma"),
    ("*/0 * * * *", "step of 0", "write 1 or more"),
    ("*/90 * * * *", "step of 90", "every(seconds=5400)"),
    ("0 */36 * * *", "step of 36", "every(seconds=129600)"),
    ("0 0 * */13 *", "step of 13", "list the values instead"),
    ("*/x * * * *", "minute '*/x'", "0-59"),
    ("0 22-2 * * *", "runs backwards", "22-23,0-2"),
    ("0 22-0 * * *", "runs backwards", "22-23,0"),
    ("0 0 * * fri-sun", "runs backwards", "5-7,0"),
    ("0 0 * nov-feb *", "runs backwards", "11-12,1-2"),
    ("5-5/10 * * * *", "steps through a single value", "write 5, or 5-59/10 for steps to the end"),
    ("0 0 * * mon-1/2", "steps through a single value", "write mon, or mon-7/2"),
    ("", "0 fields", "for example cron("),
    ("* * * *", "4 fields", "for example cron("),
    ("0 * * * * *", "6 fields", "every(seconds=10)"),
    ("* * * * * * *", "7 fields", "every(seconds=10)"),
    ("@hourl", "names no cadence", 'did you mean cron("@hourly")?'),
    ("@reboot", "names no cadence", "@annually, @daily"),
    ("1" * 5_000 + " * * * *", "that is no minute", "0-59"),
]


@pytest.mark.parametrize(("spec", "problem", "mend"), REFUSED, ids=lambda value: value[:20])
def test_refusals_name_the_spec_the_problem_and_the_mend(spec: str, problem: str, mend: str) -> None:
    with pytest.raises(CadenceError) as caught:
        cron(spec)
    message = str(caught.value)
    assert message.startswith(f"cron('{spec[:80]}")
    assert problem in message
    assert mend in message
    assert len(message) < 600


@pytest.mark.parametrize(
    "mended",
    ["0 0 L 2 *", "0 22-23,0-2 * * *", "0 22-23,0 * * *", "0 0 * * 5-7,0", "0 0 * 11-12,1-2 *", "5-59/10 * * * *"],
)
def test_the_mends_are_accepted(mended: str) -> None:
    assert cron(mended).after(SUNDAY) > SUNDAY


@pytest.mark.parametrize("spec", [None, 5, b"* * * * *"])
def test_a_spec_is_text(spec: object) -> None:
    with pytest.raises(CadenceError, match="must be text, for example"):
        cron(spec)  # type: ignore[arg-type]


def test_refusals_are_value_errors_of_our_tree() -> None:
    assert CadenceError.__mro__[1:4] == (DeclarationError, CallboardError, ValueError)


@pytest.mark.parametrize("cadence", [cron("* * * * *"), every(1)])
def test_a_moment_without_zone_is_refused(cadence: Cadence) -> None:
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - that is the mistake
    for ask in (cadence.after, cadence.is_due, cadence.next_valid_date):
        with pytest.raises(
            CadenceError, match=r"has no time zone; write it with one, e\.g\. moment\.replace\(tzinfo=UTC\)"
        ):
            ask(naive)
