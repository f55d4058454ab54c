"""A cron spec in plain words, for screens and alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cronsim import CronSim

_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTH_NAMES = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MOST_TIMES = 4  # more times of day than this are no longer easier to read than the spec
_ALL_DAYS, _ALL_MONTHS, _ALL_HOURS = 31, 12, 24


def words(engine: CronSim) -> str | None:
    """Words for the usual shapes; None for a spec that is clearer than its words would be."""
    if _every_day(engine) and (text := _through_the_day(engine)):
        return text
    days, times = _days(engine), _times(engine)
    return f"{days} at {times} UTC" if days and times else None


def _every_day(engine: CronSim) -> bool:
    return (
        len(engine.days) == _ALL_DAYS
        and len(engine.months) == _ALL_MONTHS
        and len(_weekdays(engine)) == len(_DAY_NAMES)
    )


def _through_the_day(engine: CronSim) -> str | None:
    """An even rhythm from midnight to midnight: "every 5 minutes", "every hour at :30", "every 2 hours"."""
    minutes, hours = sorted(engine.minutes), sorted(engine.hours)
    if len(hours) == _ALL_HOURS:
        if len(minutes) == 1:
            return "every hour" + (f" at :{minutes[0]:02}" if minutes[0] else "")
        return _rhythm(minutes, 60, "minute")
    return _rhythm(hours, _ALL_HOURS, "hour") if minutes == [0] and len(hours) > 1 else None


def _rhythm(values: list[int], size: int, unit: str) -> str | None:
    step = size // len(values)
    if values != list(range(0, size, step)) or size % step:
        return None
    return f"every {unit}" if step == 1 else f"every {step} {unit}s"


def _weekdays(engine: CronSim) -> list[int]:
    """Plain weekdays, Sunday first; empty when some are of the kind `mon#1` or `5L`."""
    days = [day % 7 for day in engine.weekdays if isinstance(day, int)]
    return sorted(set(days)) if len(days) == len(engine.weekdays) else []


def _days(engine: CronSim) -> str | None:
    """Which days, where only one of the fields for it is restricted."""
    every_date, every_month = len(engine.days) == _ALL_DAYS, len(engine.months) == _ALL_MONTHS
    weekdays = _weekdays(engine)
    if every_date and every_month and weekdays:
        return _weekday_words(weekdays)
    if len(weekdays) < len(_DAY_NAMES) or len(engine.days) > 1:
        return None
    date = _date(next(iter(engine.days)))
    if every_month:
        return f"on {date} of every month"
    return f"on {date} of {_and([_MONTH_NAMES[month - 1] for month in sorted(engine.months)])}"


def _weekday_words(weekdays: list[int]) -> str:
    if len(weekdays) == len(_DAY_NAMES):
        return "every day"
    if weekdays == [1, 2, 3, 4, 5]:
        return "every Monday to Friday"
    return f"every {_and([_DAY_NAMES[day] for day in weekdays])}"


def _date(day: int) -> str | None:
    return {-1000: "the last day", -1001: "the last working day"}.get(day, f"day {day}")


def _times(engine: CronSim) -> str | None:
    times = [f"{hour:02}:{minute:02}" for hour in sorted(engine.hours) for minute in sorted(engine.minutes)]
    return _and(times) if len(times) <= _MOST_TIMES else None


def _and(items: list[str]) -> str:
    *most, last = items
    return f"{', '.join(most)} and {last}" if most else last
