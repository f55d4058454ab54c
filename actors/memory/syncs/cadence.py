"""When a connection is due next: on the grid of its schedule, however late the last sync was."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

if TYPE_CHECKING:
    from datetime import date, tzinfo

_log = structlog.get_logger(__name__)

_SECONDS = {"REALTIME": 300, "HOURLY": 3600}
_DAYS = {"DAILY": 1, "WEEKLY": 7}


def zone_of(name: str) -> tzinfo:
    """A time zone by its name; UTC for one that nobody knows, which must not keep a tenant from syncing."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        _log.warning("sync.unknown_time_zone", name=name)
        return UTC


def wall_clock(scheduled: datetime, zone: tzinfo) -> time:
    """The time of day that a DAILY or WEEKLY schedule keeps."""
    return scheduled.astimezone(zone).time()


def next_sync(frequency: str, scheduled: datetime, *, now: datetime, zone: tzinfo, at: time) -> datetime | None:
    """The first time of the schedule that is after `now` and after `scheduled`; None for MANUAL.

    Args:
        frequency: As in `connections.frequency`.
        scheduled: The time that is being dealt with now.
        now: The present.
        zone: The tenant's.
        at: Time of day there at which a DAILY or WEEKLY sync is due. Where the clock is put forward over it, it is due
            as much later; where it comes twice, the first time counts.
    """
    if frequency in _SECONDS:
        step = timedelta(seconds=_SECONDS[frequency])
        return scheduled + step * max(1, (now - scheduled) // step + 1)
    if frequency not in _DAYS:
        return None
    days, first = _DAYS[frequency], scheduled.astimezone(zone).date()
    passed = (now.astimezone(zone).date() - first).days // days
    number = max(1, passed)
    while (due := _moment(first + timedelta(days=number * days), at, zone)) <= now:
        number += 1
    return due


def _moment(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at.replace(fold=0), zone).astimezone(UTC)
