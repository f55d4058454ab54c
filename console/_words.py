"""How numbers, times and ids are written on a page."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from uuid import UUID

_UNITS = (("d", 86_400, 172_800), ("h", 3600, 7200), ("min", 60, 120))
_UNKNOWN = "\N{EN DASH}"
_UUID_PREFIX = 13
_TEN = 10
_SECOND = 1.0
_MOST_EXACT = 10_000
_BIG = 1e6


def duration(seconds: float | None) -> str:
    """`3 ms`, `0.42 s`, `12 s`, `5 min`, `3 h`, `2 d`; a dash for what is not known."""
    if seconds is None:
        return _UNKNOWN
    for unit, size, least in _UNITS:
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    if seconds >= _TEN:
        return f"{seconds:.0f} s"
    return f"{seconds:.2g} s" if seconds >= _SECOND else f"{seconds * 1000:.0f} ms"


def number(value: float | None) -> str:
    """Digits in groups of three, for a screen reader and an eye alike."""
    if value is None:
        return _UNKNOWN
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def compact(value: float | None) -> str:
    """Exact up to 10,000, then `12.3k` and `4.5M`."""
    if value is None or value < _MOST_EXACT:
        return number(value)
    return f"{value / _BIG:.1f}M" if value >= _BIG else f"{value / 1000:.1f}k"


def short(run_id: UUID | str | None) -> str:
    """As much of an id as tells it from the others; pages and commands take it."""
    return "" if run_id is None else str(run_id)[:_UUID_PREFIX]


def utc(moment: datetime | None) -> str:
    """`2026-11-22 08:51:03 UTC`."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(moment: datetime | None) -> str:
    """`08:51:03.125`, to compare lines within one run."""
    return "" if moment is None else f"{moment.astimezone(UTC):%H:%M:%S}.{moment.microsecond // 1000:03d}"


def parse_moment(value: datetime | str | None) -> datetime | None:
    """A moment as the ledger or a JSON column has it."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC)
    return value


def ago(moment: datetime | str | None, now: datetime) -> Markup:
    """`3 min ago` or `in 2 h`, kept up to date by the script; the exact time on hover."""
    at = parse_moment(moment)
    if at is None:
        return Markup('<span class="soft">never</span>')
    seconds = (now - at).total_seconds()
    told = f"{_whole(seconds)} ago" if seconds >= 0 else f"in {_whole(-seconds)}"
    return _time(at, "ago", told)


def since(moment: datetime | str | None, now: datetime) -> Markup:
    """How long ago, without the word: `12 s`."""
    at = parse_moment(moment)
    return escape(_UNKNOWN) if at is None else _time(at, "since", _whole(max(0.0, (now - at).total_seconds())))


def _whole(seconds: float) -> str:
    for unit, size, least in _UNITS:
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _time(at: datetime, tick: str, told: str) -> Markup:
    return Markup('<time datetime="{}" title="{}" data-tick="{}">{}</time>').format(
        at.astimezone(UTC).isoformat(), utc(at), tick, told
    )


def pretty(value: Any) -> str:  # noqa: ANN401 - any JSON
    """JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def percent(part: float | None) -> str:
    """`97 %`; 100 only if it is all of it."""
    if part is None:
        return _UNKNOWN
    return f"{100 * part:.0f} %" if part in (0, 1) else f"{min(99.9, 100 * part):.3g} %"


_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:)]")


def linked(value: str) -> Markup:
    """Text whose web addresses are links; everything else is escaped."""
    parts, last = [], 0
    for found in _LINK.finditer(value):
        parts.append(escape(value[last : found.start()]))
        parts.append(Markup('<a href="{0}" rel="noreferrer noopener">{0}</a>').format(found.group()))
        last = found.end()
    return Markup("").join([*parts, escape(value[last:])])


_ISSUE = re.compile(r"issue:(\d+)")


def referring(value: str) -> Markup:
    """Text whose `issue:12` lead to that issue's page; everything is escaped."""
    return Markup(_ISSUE.sub(r'<a href="/admin/issues/\1">issue:\1</a>', str(escape(value))))  # noqa: S704 - escaped before


_CODE = re.compile(r"`([^`]+)`")


def coded(value: str) -> Markup:
    """Text with `code` between backticks as the documents write it; everything is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(value))))  # noqa: S704 - escaped before


_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Mac OS X", "macOS"), ("Linux", "Linux"))  # fmt: skip


def browser(agent: str | None) -> str:
    """`Chrome on Linux` for what a browser says of itself, as it is for any other program; order decides."""
    if not agent:
        return "not told"
    name = next((told for mark, told in _BROWSERS if f"{mark}/" in agent), "")
    system = next((told for mark, told in _SYSTEMS if mark in agent), "")
    return f"{name} on {system}" if name and system else agent


FILTERS = {
    "coded": coded,
    "browser": browser,
    "duration": duration,
    "number": number,
    "compact": compact,
    "short": short,
    "utc": utc,
    "clock": clock,
    "moment": parse_moment,
    "ago": ago,
    "since": since,
    "pretty": pretty,
    "percent": percent,
    "linked": linked,
    "referring": referring,
}
