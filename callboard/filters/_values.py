"""What stands in a filter as a number, an age or a moment, read into values of Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_AGE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|min|h|d|w)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=36_500)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{0,4}){0,3}(?:-[0-9a-f]{0,12})?|[0-9a-f]{4,32}", re.ASCII)
_LEAST_DIGITS = 4
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Unreadable(Exception):  # noqa: N818 - what it is, of a value; the reader of the filter adds where it stands
    """A value is not one of its kind.

    Args:
        message: What would be.
        instead: Values that come near.
    """

    def __init__(self, message: str, instead: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.instead = instead


class Moment(NamedTuple):
    """A moment: so long `ago`, or `at` it; `until` is the end of the day, where a day was meant."""

    ago: timedelta | None = None
    at: datetime | None = None
    until: datetime | None = None


def number(text: str, most: int) -> int:
    """A whole number from 0 to `most`."""
    if not re.fullmatch(r"\d{1,19}", text, re.ASCII) or int(text) > most:
        raise Unreadable(f"a whole number from 0 to {most} is meant")
    return int(text)


def age(text: str) -> timedelta:
    """A length of time such as `90s`, `15m`, `2h`, `3d`, `1w`."""
    found = _AGE.fullmatch(text.lower())
    if found is None:
        raise Unreadable("a number and a unit are meant, such as 90s, 15m, 2h, 3d or 1w")
    seconds = float(found[1]) * _SECONDS[found[2]]
    if seconds > _LONGEST.total_seconds():
        raise Unreadable("a hundred years are the most")
    return timedelta(seconds=seconds)


def moment(text: str) -> Moment:
    """ISO 8601, in UTC where it says no other zone, or `now`, `today`, `yesterday`, or an age: so long ago."""
    word = text.lower()
    if _AGE.fullmatch(word):
        return Moment(ago=age(word))
    if word == "now":
        return Moment(ago=timedelta())
    try:
        return _day(word) if word in ("today", "yesterday") or _DATE.fullmatch(word) else Moment(at=_utc(text))
    except (ValueError, OverflowError):
        raise Unreadable(
            "a moment is meant: 2h (so long ago), today, yesterday, 2026-07-01 or 2026-07-01T09:30Z"
        ) from None


def _day(word: str) -> Moment:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": midnight, "yesterday": midnight - timedelta(days=1)}
    start = days[word] if word in days else _utc(word)
    return Moment(at=start, until=start + timedelta(days=1))


def _utc(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def id_bounds(text: str) -> tuple[str, str]:
    """The lowest and the highest UUID that begin so."""
    digits = text.lower().replace("-", "")
    if not _ID.fullmatch(text.lower()) or not _LEAST_DIGITS <= len(digits) <= len("0" * 32):
        raise Unreadable("an id is meant: a UUID, or its first 4 or more characters")
    return digits.ljust(32, "0"), digits.ljust(32, "f")
