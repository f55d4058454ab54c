"""Cadences of a fixed period."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from callboard.cadence._base import Cadence
from callboard.errors import CadenceError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
MAX_SECONDS = 366 * 86_400


@dataclass(frozen=True, slots=True, repr=False)
class Every(Cadence):
    """The multiples of `seconds` since 1970-01-01T00:00:00Z; leap seconds do not count, as in Unix time."""

    seconds: int

    def __post_init__(self) -> None:
        if problem := _problem(self.seconds):
            raise CadenceError(f"every(seconds={self.seconds!r}): seconds {problem}")

    def __str__(self) -> str:
        return f"every(seconds={self.seconds})"

    __repr__ = __str__

    def describe(self) -> str:
        size, unit = next(pair for pair in _UNITS if self.seconds % pair[0] == 0)
        count = self.seconds // size
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"

    def interval_seconds(self) -> float:
        return float(self.seconds)

    def _next(self, moment: datetime) -> datetime:
        elapsed = (moment - _EPOCH) // _SECOND
        return _EPOCH + timedelta(seconds=(elapsed // self.seconds + 1) * self.seconds)


def every(seconds: int) -> Every:
    """A fire at each multiple of `seconds` since the Unix epoch, so that all processes agree on the grid.

    Periods that divide a day begin at midnight UTC; a week begins on a Thursday, as 1970-01-01 was one, so write
    `cron("0 0 * * mon")` where the weekday matters.

    Args:
        seconds: A whole number from 1 to 366 days.

    Raises:
        CadenceError: Not a whole number, or out of those bounds.
    """
    return Every(seconds)


def _problem(seconds: object) -> str | None:
    """What is wrong with a period and how to mend it; None when nothing is."""
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        return f"must be a whole number, the grid has no fractions; write every(seconds={_nearest(seconds)})"
    if seconds < 1:
        return "must be 1 or more; the shortest cadence is every(seconds=1)"
    if seconds > MAX_SECONDS:
        return f'must be at most {MAX_SECONDS} (366 days); for once a year write cron("0 0 1 1 *")'
    return None


def _nearest(value: object) -> int:
    """The whole number to suggest in place of `value`."""
    if isinstance(value, float) and math.isfinite(value):
        return min(max(1, round(value)), MAX_SECONDS)
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else 30
