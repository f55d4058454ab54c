"""What is to be told of a run, from the ledger; nothing in it is secret any more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from callboard.ledger.facts import dumps
from observability.redaction import redact, redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from callboard.settings import Settings

_LONGEST_ERROR, _LONGEST_RESULT = 4000, 10_000
_HOUR = 3600.0
_MEND = (
    "Nothing more is sent to it. Give it another URL in CALLBOARD_NOTIFY_CHANNELS, or, once it takes them again, run "
    "`callboard notifications test <its name>`."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """One event, as every channel tells it in its own way.

    Attributes:
        id: Stable over attempts to send it, and no other notification's anywhere.
        event: completed, failed, cancelled, `channel_disabled`, or `test`.
        job: The job's name.
        label: What people call it.
        run_id: Empty for a test.
        seconds: Run time of the last attempt; None if there was none.
        result: What the run counted and noted.
        hint: A line that says what is not told.
        url: Where the run is shown.
    """

    id: str
    event: str
    job: str = ""
    label: str = ""
    run_id: str = ""
    correlation_id: str = ""
    trigger: str = ""
    at: datetime | None = None
    seconds: float | None = None
    attempts: int = 0
    error: str = ""
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    url: str = ""

    @property
    def result_json(self) -> str:
        """The result as JSON for people, cut where it is very long."""
        text = json.dumps(self.result, indent=2, ensure_ascii=False)
        return text if len(text) <= _LONGEST_RESULT else f"{text[:_LONGEST_RESULT]}\n... (cut; the run shows all)"


def of_row(row: Mapping[Any, Any], settings: Settings, *, label: str = "") -> Notice:
    """The notice of a row of `ledger.notifications.load`."""
    event, _, channel = row["event"].partition(":")
    if channel:
        return Notice(id=_id(row), event=event, label=channel, reason="it answered 410 Gone", hint=_MEND)
    error = ": ".join(part for part in (row["error_type"], row["error"]) if part) if row["event"] == "failed" else ""
    return Notice(
        id=_id(row),
        event=row["event"],
        job=row["job"],
        label=label or row["job"],
        run_id=str(row["run_id"]),
        correlation_id=row["correlation_id"] or "",
        trigger=row["trigger"] or "",
        at=row["finished_at"],
        seconds=None if row["seconds"] is None else float(row["seconds"]),
        attempts=row["attempt"] or 0,
        error=redact_text(error)[:_LONGEST_ERROR],
        reason=redact_text(row["reason"] or ""),
        result=_result(row["counts"], row["notes"]),
        hint=_hint(row, settings),
        url=f"{console_url(settings)}/admin/background_jobs/runs/{row['run_id']}",
    )


def _id(row: Mapping[Any, Any]) -> str:
    return f"{row['run_id'].hex}-{row['id']}"


def console_url(settings: Settings) -> str:
    """What the console is called in a link, without a slash at its end."""
    if settings.console_url:
        return settings.console_url.rstrip("/")
    scheme = "https" if settings.console_tls_cert else "http"
    return f"{scheme}://{settings.console_host}:{settings.console_port}"


def _result(counts: dict[str, Any] | None, notes: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = redact({**(counts or {}), **(notes or {})})
    plain: dict[str, Any] = json.loads(dumps(found) or "{}")
    return plain


def _hint(row: Mapping[Any, Any], settings: Settings) -> str:
    least, interval = settings.system_jobs_alert_least_interval_seconds, row["interval_seconds"]
    if row["trigger"] != "schedule" or interval is None or interval >= least:
        return ""
    span = "an hour" if least == _HOUR else f"{least:g} s"
    return f"The schedule fires every {interval:g} s: at most one problem is told in {span}."
