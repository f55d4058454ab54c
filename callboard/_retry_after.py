"""How long a failed call was told to wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from dramatiq.errors import Retry

from callboard._causes import causes, is_httpx

DEFAULT_CAP = 3600.0
#: However long a policy itself may wait, no server parks a run for days.
LONGEST = 86_400.0


def retry_after(exception: BaseException, *, cap: float = DEFAULT_CAP, now: datetime | None = None) -> float | None:
    """Seconds that the other side asked us to wait, within 0 and `cap`; None when it said nothing usable.

    Looks along the chain of causes for an attribute `retry_after` (seconds, text or a timedelta) and for the header
    `Retry-After` of an `httpx.HTTPStatusError`, in seconds or as an HTTP date (RFC 9110, 10.2.3), and at the delay of a
    `dramatiq.errors.Retry`.

    Args:
        exception: What the job raised.
        cap: The policy's ceiling: a server may not park a run for days.
        now: The clock an HTTP date is measured from; the present by default.
    """
    for cause in causes(exception):
        seconds = _seconds(_said_by(cause), now)
        if seconds is not None:
            return min(max(seconds, 0.0), cap)
    return None


def _said_by(exception: BaseException) -> object:
    if isinstance(exception, Retry):  # Dramatiq's own way to ask for one, in milliseconds
        return None if exception.delay is None else exception.delay / 1000
    told = getattr(exception, "retry_after", None)
    if told is None and is_httpx(exception, "HTTPStatusError"):
        return exception.response.headers.get("retry-after")  # type: ignore[attr-defined]  # what the name says it has
    return told


def _seconds(told: object, now: datetime | None) -> float | None:
    """`told` as a finite number of seconds; None for anything else."""
    if isinstance(told, timedelta):
        return told.total_seconds()
    if isinstance(told, str):
        return _from_text(told.strip(), now)
    if isinstance(told, (int, float)) and not isinstance(told, bool) and math.isfinite(told):
        return float(told)
    return None


def _from_text(text: str, now: datetime | None) -> float | None:
    """Digits (with a fraction, which some servers send) are seconds; the rest must be an HTTP date."""
    try:
        seconds = float(text)
    except ValueError:
        return _until(text, now)
    return seconds if math.isfinite(seconds) else None


def _until(text: str, now: datetime | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a year or an offset of 20 digits
        return None
    if moment.tzinfo is None:  # "-0000" and no zone at all: an HTTP date is always GMT
        moment = moment.replace(tzinfo=UTC)
    return (moment - (now or datetime.now(UTC))).total_seconds()
