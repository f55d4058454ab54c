"""Cadences written as cron specs; cronsim does the arithmetic."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, pairwise

from cronsim import CronSim

from callboard.cadence._base import Cadence
from callboard.cadence._refusals import EXAMPLE, refuse, shorten
from callboard.cadence._words import words
from callboard.errors import CadenceError

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Any instant serves as a start: the Gregorian calendar repeats every 400 years, and no spec that fires at all
# has a gap above 40 (29 February on one weekday, across 2100), while cronsim looks 50 years ahead.
_START = datetime(2024, 1, 1, tzinfo=UTC)
# A year of "the 1st, or a Monday" has at most 64 days: enough for each distance between days to occur.
_SAMPLE_DAYS = 64

_Rule = tuple[bool, frozenset[object], frozenset[object], frozenset[object], frozenset[object], frozenset[object]]


@dataclass(frozen=True, slots=True, repr=False)
class Cron(Cadence):
    """A parsed spec; two are equal when they mean the same: `@weekly`, `0 0 * * 0` and `0 0 * * SUN`."""

    spec: str = field(compare=False)
    _engine: CronSim = field(compare=False)  # never advanced: each answer advances a copy
    _rule: _Rule

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"cron({self.spec!r})"

    def describe(self) -> str:
        return words(self._engine) or self.spec

    def interval_seconds(self) -> float:
        return _smallest_gap(self)

    def _next(self, moment: datetime) -> datetime:
        engine = copy(self._engine)
        engine.dt = moment.replace(microsecond=0)
        return next(engine)


def cron(spec: str) -> Cron:
    """Fires of a five-field cron spec (minute, hour, day-of-month, month, day-of-week), in UTC.

    The rules are Vixie cron's, as in the crontab of Debian and of Kubernetes:

    * Sunday is 0, 7 or `sun`; names of months and days in any case; `@hourly` and its like.
    * When neither day field begins with `*`, a day that matches either of them fires; when one does, `*/2` included,
      both must match. So `0 0 1,15 * mon` is the 1st, the 15th and all Mondays; `0 0 */2 * mon` is Mondays with an
      odd date.
    * `a/n` means from a to the field's end by n; in day-of-week the end is 7, so `1/2` is Mon, Wed, Fri and Sun.
    * Beyond Vixie: `L` (a month's last day), `LW` (last working day), `5L` (last Friday), `mon#1` (first Monday).

    Stricter than Vixie: refused are a step longer than its field (`*/90` minutes, which fires hourly there), a step
    through a single value (`5-5/10`, which no two engines read alike) and a spec that never fires.

    Raises:
        CadenceError: Malformed, never firing, or of six fields; the message says where, and how to mend it.
    """
    if not isinstance(spec, str):
        raise CadenceError(f"cron({spec!r}): the spec must be text, for example {EXAMPLE}")
    text = spec.strip()
    fields = NICKNAMES.get(text.lower(), text)
    if problem := refuse(fields, NICKNAMES):
        raise CadenceError(f"cron({shorten(text)!r}): {problem}")
    engine = CronSim(fields, _START)
    return Cron(text, engine, _rule_of(engine))


def _rule_of(engine: CronSim) -> _Rule:
    """The parsed fields as a value; Sunday as 0 only."""
    weekdays = frozenset(_sunday_as_zero(item) for item in engine.weekdays)
    return (
        engine.day_and,
        frozenset(engine.minutes),
        frozenset(engine.hours),
        frozenset(engine.days),
        frozenset(engine.months),
        weekdays,
    )


def _sunday_as_zero(item: int | tuple[int, int]) -> object:
    """7 is Sunday too, also in `7L` and `7#1`, which cronsim keeps as pairs."""
    return item % 7 if isinstance(item, int) else (item[0] % 7, item[1])


@lru_cache(maxsize=1024)
def _smallest_gap(cadence: Cron) -> float:
    """Seconds between the closest fires: within a day, or from a day's last to the next day's first."""
    engine = cadence._engine  # noqa: SLF001 - a helper of this class, outside it only to be cached
    times = sorted(hour * 60 + minute for hour in engine.hours for minute in engine.minutes)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    gaps.append(_closest_days(engine) * 1440 - times[-1] + times[0])
    return min(gaps) * 60.0


def _closest_days(engine: CronSim) -> int:
    """Smallest distance in days between two days that fire."""
    days = CronSim(" ".join(["0", "0", *engine.parts[3:]]), _START)
    return min((later - earlier).days for earlier, later in pairwise(islice(days, _SAMPLE_DAYS)))
