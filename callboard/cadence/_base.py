"""What every cadence can answer, whichever way it was written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from callboard.errors import CadenceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pendulum

_SECOND = timedelta(seconds=1)


class Cadence(ABC):
    """An endless, fixed row of moments in UTC, whole seconds each. Equal by value, hashable, safe to share."""

    __slots__ = ()

    @abstractmethod
    def _next(self, moment: datetime) -> datetime:
        """First fire strictly after `moment`, which is a plain datetime in UTC."""

    @abstractmethod
    def interval_seconds(self) -> float:
        """Seconds between the two closest fires: what dashboards show as the schedule's interval.

        It is exact for `every` and for an even cron spec. Where nights or weekends are left out it is the working
        rhythm: 900 for `*/15 9-17 * * 1-5`. So "no success for two cadences" must not be `age > 2 * interval` there,
        which would page every evening; it is `now > after(after(last_success))` plus the job's expected duration.
        """

    @abstractmethod
    def describe(self) -> str:
        """Plain words, e.g. "every day at 02:00 UTC"; the spec itself where words would be longer than it."""

    def after(self, moment: datetime) -> datetime:
        """First fire strictly after `moment`, in UTC.

        Raises:
            CadenceError: `moment` has no time zone, so it names no instant.
        """
        return self._next(_in_utc(moment))

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Fires in (start, end], oldest first, computed as they are asked for."""
        limit = _in_utc(end)
        fire = self.after(start)
        while fire <= limit:
            yield fire
            fire = self._next(fire)

    def is_due(self, moment: datetime) -> bool:
        """Whether the second that `moment` lies in is a fire."""
        second = _in_utc(moment).replace(microsecond=0)
        return self._next(second - _SECOND) == second

    def validate(self, date: datetime) -> bool:
        """Periodiq's name for `is_due`.

        To the second, not to the minute as in periodiq itself: a scheduler that is restarted, or woken by another
        job, within a fire's minute must not fire again.
        """
        return self.is_due(date)

    def next_valid_date(self, last: datetime) -> pendulum.DateTime:
        """Periodiq's name for `after`: it subtracts `pendulum.now()` from the answer to know how long to sleep."""
        import pendulum  # noqa: PLC0415 - 5 MB that only periodiq's own scheduler needs

        return pendulum.instance(self.after(last))


def _in_utc(moment: datetime) -> datetime:
    """`moment` as a plain datetime in UTC: on pendulum's subclass cronsim is several times slower."""
    if type(moment) is datetime and moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        msg = f"moment {moment.isoformat()} has no time zone; write it with one, e.g. moment.replace(tzinfo=UTC)"
        raise CadenceError(msg)
    utc = moment.astimezone(UTC)
    return datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC)
