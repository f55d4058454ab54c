"""A notice as a mail, as a short text and as a webhook's document."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callboard.notifications.notice import Notice

_SIGNS = {"completed": "✅", "failed": "❌", "cancelled": "🚫"}
_LONGEST_SUBJECT = 200
_MINUTE, _HOUR = 60.0, 3600.0
_LONGEST_RESULT = 8000
_STYLE = "font-family:system-ui,sans-serif;font-size:14px;line-height:1.5;color:#1f2328;background:#fff"
_CELL = "padding:2px 16px 2px 0;vertical-align:top;text-align:left"
_PRE = "margin:0;font-family:ui-monospace,monospace;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere"


def subject(notice: Notice) -> str:
    """One line: `[Callboard] ❌ Job failed: Tier transition`."""
    match notice.event:
        case "test":
            line = "[Callboard] ✅ Test: mail and channels work"
        case "channel_disabled":
            line = f"[Callboard] ❌ Channel disabled: {notice.label}"
        case event:
            line = f"[Callboard] {_SIGNS.get(event, '')} Job {event}: {notice.label}"
    return " ".join(line.split())[:_LONGEST_SUBJECT]


def _rows(notice: Notice) -> list[tuple[str, str]]:
    job = notice.job if notice.label == notice.job else f"{notice.label} ({notice.job})"
    rows = [
        ("Job", job if notice.job else ""),
        ("Status", f"{notice.event} ({notice.reason})" if notice.reason else notice.event),
        ("Duration", duration(notice.seconds)),
        ("Attempts", str(notice.attempts) if notice.attempts > 1 else ""),
        ("Ended", f"{notice.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if notice.at else ""),
        ("Error", notice.error),
        ("Result", notice.result_json if notice.result else ""),
        ("Asked for by", notice.trigger),
        ("Run", notice.run_id),
        ("Correlation id", notice.correlation_id),
    ]
    return [(name, value) for name, value in rows if value]


def plain(notice: Notice) -> str:
    """The body as text."""
    width = max((len(name) for name, _ in _rows(notice)), default=0) + 2
    indent = "\n" + " " * width
    lines = [f"{name + ':':<{width}}{value.replace(chr(10), indent)}" for name, value in _rows(notice)]
    return "\n".join([*lines, *(f"\n{extra}" for extra in (notice.url, notice.hint) if extra)]) + "\n"


def as_html(notice: Notice) -> str:
    """The body as HTML; every value is escaped."""
    rows = "".join(_html_row(name, value) for name, value in _rows(notice))
    link = f'<p><a href="{html.escape(notice.url)}">Show the run</a></p>' if notice.url else ""
    hint = f"<p>{html.escape(notice.hint)}</p>" if notice.hint else ""
    title = html.escape(subject(notice).removeprefix("[Callboard] "))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="{_STYLE}"><h1 style="font-size:18px">{title}</h1><table>{rows}</table>{link}{hint}</body></html>'
    )


def _html_row(name: str, value: str) -> str:
    shown = html.escape(value)
    if name in ("Error", "Result"):
        shown = f'<pre style="{_PRE}">{shown}</pre>'
    return f'<tr><th scope="row" style="{_CELL}">{name}</th><td style="{_CELL}">{shown}</td></tr>'


def short(notice: Notice, limit: int) -> str:
    """Subject and body for a chat, of at most `limit` UTF-16 units, which is how Telegram counts."""
    text = f"{subject(notice).removeprefix('[Callboard] ')}\n\n{plain(notice)}".strip()
    units = text.encode("utf-16-le")
    if len(units) <= 2 * limit:
        return text
    end = f"\n...\n{notice.url}"
    kept = units[: 2 * (limit - len(end.encode("utf-16-le")) // 2)]
    return kept.decode("utf-16-le", "ignore") + end


def document(notice: Notice) -> dict[str, Any]:
    """The document of a webhook: `type`, `timestamp`, `data`."""
    kind = notice.event if notice.event in ("test", "channel_disabled") else f"run.{notice.event}"
    result = notice.result if len(notice.result_json) <= _LONGEST_RESULT else {"cut": "the run shows all"}
    data = {
        "run_id": notice.run_id,
        "job": notice.job,
        "label": notice.label,
        "state": notice.event,
        "reason": notice.reason,
        "trigger": notice.trigger,
        "attempts": notice.attempts,
        "duration_seconds": notice.seconds,
        "error": notice.error,
        "result": result,
        "correlation_id": notice.correlation_id,
        "url": notice.url,
    }
    at = (notice.at or datetime.now(UTC)).astimezone(UTC)
    return {"type": kind, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}


def duration(seconds: float | None) -> str:
    """`1.2 s`, `3 min 20 s`, `2 h 5 min`; empty without any."""
    if seconds is None:
        return ""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"
