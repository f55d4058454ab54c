"""Why a cron spec is refused, and how to mend it. cronsim itself says "Bad minute" and no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLE = 'cron("*/15 9-17 * * mon-fri")'
_START = datetime(2024, 1, 1, tzinfo=UTC)
_FIELDS_OF_CRON = 5
_DIGITS = 2
_LONGEST_ECHO = 80
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    size: int  # distinct values: 7 days although both 0 and 7 are Sunday
    seconds: int | None  # of one step, where that is fixed
    allowed: str
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int | None:
        """The number that `text` stands for; None when it is neither a number nor a name of this field."""
        if text in self.names:
            return self.names.index(text) + self.low
        return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


_FIELDS = (
    _Field("minute", 0, 59, 60, 60, "0-59"),
    _Field("hour", 0, 23, 24, 3_600, "0-23"),
    _Field("day-of-month", 1, 31, 31, 86_400, "1-31, or L for the last day"),
    _Field("month", 1, 12, 12, None, "1-12 or jan-dec", _MONTHS),
    _Field("day-of-week", 0, 7, 7, 86_400, "0-7 or sun-sat (0 and 7 are Sunday)", _DAYS),
)


def refuse(spec: str, nicknames: Iterable[str]) -> str | None:
    """What is wrong with `spec`, whose nickname is already replaced, and its mend; None for a good one."""
    if spec.startswith("@"):
        return _unknown_nickname(spec, nicknames)
    parts = spec.split()
    if len(parts) != _FIELDS_OF_CRON:
        return _wrong_count(len(parts))
    for field, part in zip(_FIELDS, parts, strict=True):
        if problem := _problem_of(field, part):
            return f"{field.name} {shorten(part)!r} {problem}; for example {EXAMPLE}"
    return None if _fires(spec) else _never(parts)


def shorten(text: str) -> str:
    """`text` cut to what a message can bear."""
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}..."


def _unknown_nickname(spec: str, nicknames: Iterable[str]) -> str:
    known = sorted(nicknames)
    close = get_close_matches(spec.lower(), known, n=1)
    hint = f'did you mean cron("{close[0]}")?' if close else f"known names are {', '.join(known)}"
    return f"{spec!r} names no cadence; {hint}"


def _wrong_count(count: int) -> str:
    needed = "cron needs 5 fields (minute, hour, day-of-month, month, day-of-week)"
    if count > _FIELDS_OF_CRON:
        mend = "there is none for seconds or years; below a minute write every(seconds=10), else drop the extra field"
    else:
        mend = f"for example {EXAMPLE}"
    return f"{count} fields given, {needed}: {mend}"


def _problem_of(field: _Field, part: str) -> str | None:
    for term in part.split(","):
        if problem := _problem_of_term(field, term):
            return problem
    return None


def _problem_of_term(field: _Field, term: str) -> str | None:
    """What is wrong with one item of a field's list."""
    base, _, step = term.partition("/")
    if not term:
        return "has an empty item; remove the extra comma"
    if step.isdecimal() and not 1 <= int(step[:9]) <= field.size:
        return _bad_step(field, int(step[:9]))
    if problem := _odd_range(field, base, step):
        return problem
    if not _parses(field, term):
        return f"has an item {shorten(term)!r} that is no {field.name}: allowed are {field.allowed}, and ranges of them"
    return None


def _bad_step(field: _Field, step: int) -> str:
    if step == 0:
        return "has a step of 0; write 1 or more"
    mend = f"write every(seconds={step * field.seconds})" if field.seconds else "list the values instead"
    return (
        f"has a step of {step}, longer than the {field.size} values it steps through, so it never counts so far; {mend}"
    )


def _odd_range(field: _Field, base: str, step: str) -> str | None:
    """Refuses `22-2`, `fri-sun`, and `5-5/10`, which each cron engine reads in a way of its own."""
    start, _, end = base.lower().partition("-")
    first, last = field.value(start), field.value(end)
    if first is None or last is None or not (field.low <= first <= field.high and field.low <= last <= field.high):
        return None
    if last < first:
        tail = str(last) if last == field.low else f"{field.low}-{last}"
        return f"has a range that runs backwards; write {first}-{field.high},{tail}"
    if last == first and step:
        return f"steps through a single value; write {start}, or {start}-{field.high}/{step} for steps to the end"
    return None


def _parses(field: _Field, term: str) -> bool:
    """Whether cronsim takes `term` in that field, all others being `*`."""
    spec = " ".join(term if other is field else "*" for other in _FIELDS)
    try:
        CronSim(spec, _START)
    except (CronSimError, ValueError):  # ValueError: a number of more than 4,300 digits
        return False
    return True


def _fires(spec: str) -> bool:
    """Whether a spec of well-formed fields fires within 50 years, which is to say ever."""
    try:
        return next(CronSim(spec, _START), None) is not None
    except CronSimError:  # its one refusal of well-formed fields: a day that none of the months has
        return False


def _never(parts: list[str]) -> str:
    _, _, day, month, weekday = parts
    return (
        f"it never fires: no date has day-of-month {day!r}, month {month!r} and day-of-week {weekday!r}; "
        'for the last day of a month write L, for example cron("0 0 L 2 *")'
    )
