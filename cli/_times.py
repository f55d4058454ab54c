"""Moments and durations as people read them, and ages as they write them (`2h`)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_MINUTE, _DAY = 60, 86400


def now() -> datetime:
    """The moment that relative times are counted from."""
    return datetime.now(UTC)


def span(seconds: float) -> str:
    """A duration in two units at most: `0.4 s`, `14 s`, `2 min 5 s`, `3 h 20 min`, `4 d`."""
    if seconds < 10:  # noqa: PLR2004 - below ten, a digit more is worth reading
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for index, (unit, size) in enumerate(_UNITS):
        if whole >= size:
            rest = divmod(whole % size, _UNITS[index + 1][1])[0] if index + 1 < len(_UNITS) else 0
            return f"{whole // size} {unit}" + (f" {rest} {_UNITS[index + 1][0]}" if rest else "")
    return "0 s"


def short_span(seconds: float) -> str:
    """A duration in one unit, for narrow columns: `0.4 s`, `14 s`, `2 min`, `3 h`, `4 d`."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    unit, size = next((unit, size) for unit, size in _UNITS if seconds >= size)
    return f"{int(seconds // size)} {unit}"


def relative(moment: datetime | None, since: datetime) -> str:
    """`12 s ago`, `in 3 h`, `now`; empty for what never was."""
    if moment is None:
        return ""
    seconds = (moment - since).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {short_span(seconds)}" if seconds > 0 else f"{short_span(-seconds)} ago"


def clock(moment: datetime, since: datetime) -> str:
    """The time of day in UTC, with the date when that is another one than today's."""
    utc = moment.astimezone(UTC)
    return f"{utc:%H:%M:%S}" if utc.date() == since.astimezone(UTC).date() else f"{utc:%Y-%m-%d %H:%M}"


def iso(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with a Z, to the microsecond where there is one."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_age(text: str) -> timedelta:
    """An age such as `90s`, `15m`, `2h`, `3d`, `1w`.

    Raises:
        ValueError: It is written in another way; the message says how.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no age: write a number and a unit, such as 90s, 15m, 2h, 3d or 1w")
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
