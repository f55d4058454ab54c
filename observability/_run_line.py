"""The lines of a run, exactly as the user's document shows them.

[scheduler] tick: job=auto_summarization_job started at=2026-05-04T10:00:00Z
[scheduler] tick: job=auto_summarization_job finished scanned=842 summarised=37 duration_ms=14322
[task] webhook.deliver id=wd_8822 attempt=3 status=dead_letter http_status=503
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from observability._plain import plain, timestamp
from observability._spelling import pairs, quote, readable, spell
from observability.events import JOB_STARTED

Paint = Callable[[str, str], str]

_SCHEDULE = "schedule"
_VERBS = {"success": "finished", "dead_letter": "failed"}


def unpainted(text: str, _status: str) -> str:
    """The `Paint` of a stream that is no terminal."""
    return text


def run_line(event: str, fields: Mapping[str, object], paint: Paint = unpainted) -> str | None:
    """The line of `job.started` or `job.finished`; None where text says nothing (the start of a task)."""
    scheduled = fields.get("trigger") == _SCHEDULE
    if event == JOB_STARTED:
        return _tick("started", _started(fields), fields, paint) if scheduled else None
    return _finished_tick(fields, paint) if scheduled else _task(fields, paint)


def _started(fields: Mapping[str, object]) -> list[str]:
    at = fields.get("started_at") or fields.get("scheduled_for")
    shown = timestamp(at, "seconds") if isinstance(at, datetime) else at
    return pairs({"at": shown, "attempt": _later_attempt(fields), "missed": fields.get("missed") or None})


def _finished_tick(fields: Mapping[str, object], paint: Paint) -> str:
    status = readable(fields.get("status", "unknown"))
    if status == "skipped":
        return _tick(status, pairs({"reason": _reason(fields)}), fields, paint)
    attempt = _later_attempt(fields) if status == "success" else fields.get("attempt")
    parts = [*pairs({"attempt": attempt}), *_numbers(fields), *_error(fields)]
    return _tick(status, [*parts, *pairs({"duration_ms": fields.get("duration_ms")})], fields, paint)


def _tick(status: str, parts: list[str], fields: Mapping[str, object], paint: Paint) -> str:
    verb = paint(spell(_VERBS.get(status, status)), status)
    return " ".join([f"[scheduler] tick: job={_name(fields)} {verb}", *parts])


def _task(fields: Mapping[str, object], paint: Paint) -> str:
    status = readable(fields.get("status", "unknown"))
    head = pairs({"id": fields.get("id") or fields.get("run_id"), "attempt": fields.get("attempt")})
    # The status of an HTTP answer is the error in short; the document shows no more beside it.
    told = "http_status" in _mapping(fields, "notes")
    tail = [] if told else _error(fields)
    if status == "skipped":
        tail = pairs({"reason": _reason(fields)})
    painted = f"status={paint(spell(status), status)}"
    return " ".join([f"[task] {_name(fields)}", *head, painted, *_numbers(fields), *tail])


def _name(fields: Mapping[str, object]) -> str:
    return spell(plain(fields.get("job", "unknown")))


def _later_attempt(fields: Mapping[str, object]) -> object:
    """A first attempt goes without saying."""
    attempt = fields.get("attempt")
    return None if isinstance(attempt, int) and attempt == 1 else attempt


def _reason(fields: Mapping[str, object]) -> object:
    return fields.get("reason") or _mapping(fields, "notes").get("reason")


def _numbers(fields: Mapping[str, object]) -> list[str]:
    notes = {key: value for key, value in _mapping(fields, "notes").items() if key != "reason"}
    return [*pairs(_mapping(fields, "counts")), *pairs(notes)]


def _error(fields: Mapping[str, object]) -> list[str]:
    """`error="..."`, always quoted; the class where the exception has no message, the reason where there was none."""
    error = fields.get("error") or fields.get("error_type")
    return [f"error={quote(readable(error))}"] if error else pairs({"reason": _reason(fields)})


def _mapping(fields: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = fields.get(key)
    return value if isinstance(value, Mapping) else {}
