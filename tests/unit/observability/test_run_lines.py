"""The lines of the user's document, character by character."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from observability._run_line import run_line
from observability.events import JOB_FINISHED, JOB_STARTED

TICK = {"job": "auto_summarization_job", "trigger": "schedule", "attempt": 1, "id": "1"}
COUNTS = {"scanned": 842, "summarised": 37, "skipped_unchanged": 805}
DELIVERY = {"job": "webhook.deliver", "trigger": "job:request", "id": "wd_8822"}


def tick(**fields: object) -> str | None:
    return run_line(JOB_FINISHED, TICK | fields)


def delivery(**fields: object) -> str | None:
    return run_line(JOB_FINISHED, DELIVERY | fields)


@pytest.mark.parametrize(
    "started_at",
    [
        "2026-05-04T10:00:00Z",
        datetime(2026, 5, 4, 10, tzinfo=UTC),
        datetime(2026, 5, 4, 10, 0, 0, 250_000, tzinfo=UTC),
        datetime(2026, 5, 4, 12, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 5, 4, 10),  # noqa: DTZ001 - a naive moment is taken for UTC
    ],
)
def test_a_tick_starts(started_at: object) -> None:
    line = run_line(JOB_STARTED, TICK | {"started_at": started_at})
    assert line == "[scheduler] tick: job=auto_summarization_job started at=2026-05-04T10:00:00Z"


def test_without_a_start_the_due_time_is_told() -> None:
    line = run_line(JOB_STARTED, TICK | {"scheduled_for": datetime(2026, 5, 4, 10, tzinfo=UTC)})
    assert line == "[scheduler] tick: job=auto_summarization_job started at=2026-05-04T10:00:00Z"


def test_a_start_tells_of_later_attempts_and_of_the_ticks_it_stands_for() -> None:
    line = run_line(JOB_STARTED, TICK | {"started_at": "2026-05-04T10:00:00Z", "attempt": 2, "missed": 12})
    assert line == "[scheduler] tick: job=auto_summarization_job started at=2026-05-04T10:00:00Z attempt=2 missed=12"


def test_a_tick_finishes() -> None:
    assert tick(status="success", counts=COUNTS, notes={}, duration_ms=14322) == (
        "[scheduler] tick: job=auto_summarization_job finished "
        "scanned=842 summarised=37 skipped_unchanged=805 duration_ms=14322"
    )


def test_a_tick_finishes_at_its_second_attempt() -> None:
    line = tick(status="success", attempt=2, counts={}, notes={"model": "a b"}, duration_ms=5)
    assert line == '[scheduler] tick: job=auto_summarization_job finished attempt=2 model="a b" duration_ms=5'


def test_a_tick_fails() -> None:
    line = tick(status="dead_letter", counts={"scanned": 3}, error='it said "no"\nthen left', duration_ms=12)
    assert line == (
        "[scheduler] tick: job=auto_summarization_job failed attempt=1 scanned=3 "
        r'error="it said \"no\"\nthen left" duration_ms=12'
    )


@pytest.mark.parametrize("status", ["retry", "cancelled", "interrupted"])
def test_a_tick_ends_otherwise(status: str) -> None:
    line = tick(status=status, error_type="TimeoutError", duration_ms=12)
    assert (
        line == f'[scheduler] tick: job=auto_summarization_job {status} attempt=1 error="TimeoutError" duration_ms=12'
    )


@pytest.mark.parametrize("where", [{"reason": "overlap"}, {"notes": {"reason": "overlap"}}])
def test_a_tick_is_skipped(where: dict[str, Any]) -> None:
    assert tick(status="skipped", duration_ms=0, **where) == (
        "[scheduler] tick: job=auto_summarization_job skipped reason=overlap"
    )


@pytest.mark.parametrize("status", ["success", "retry", "dead_letter"])
def test_a_task_ends(status: str) -> None:
    line = delivery(attempt=3, status=status, counts={}, notes={"http_status": 503}, duration_ms=7, error="HTTP 503")
    assert line == f"[task] webhook.deliver id=wd_8822 attempt=3 status={status} http_status=503"


def test_a_task_says_why_it_failed_where_it_noted_nothing() -> None:
    assert delivery(attempt=1, status="retry", error="timed out") == (
        '[task] webhook.deliver id=wd_8822 attempt=1 status=retry error="timed out"'
    )


def test_a_task_given_up_without_an_error_gives_the_reason() -> None:
    assert delivery(attempt=3, status="dead_letter", reason="poison") == (
        "[task] webhook.deliver id=wd_8822 attempt=3 status=dead_letter reason=poison"
    )


def test_a_task_is_skipped() -> None:
    assert delivery(attempt=1, status="skipped", reason="overlap", error="x") == (
        "[task] webhook.deliver id=wd_8822 attempt=1 status=skipped reason=overlap"
    )


def test_the_start_of_a_task_is_not_told() -> None:
    assert run_line(JOB_STARTED, DELIVERY | {"attempt": 1}) is None


def test_counts_come_before_notes() -> None:
    line = delivery(attempt=1, status="success", notes={"b": 1}, counts={"a": 2})
    assert line == "[task] webhook.deliver id=wd_8822 attempt=1 status=success a=2 b=1"


def test_secrets_in_notes_and_errors_are_hidden() -> None:
    line = delivery(attempt=1, status="retry", notes={"api_key": "abc"}, error="redis://u:pw@h is away")
    assert line == (
        "[task] webhook.deliver id=wd_8822 attempt=1 status=retry api_key=[redacted] "
        'error="redis://u:[redacted]@h is away"'
    )


def test_what_the_engine_left_out_is_named_unknown() -> None:
    assert run_line(JOB_FINISHED, {}) == "[task] unknown status=unknown"
    assert run_line(JOB_FINISHED, {"counts": 3, "notes": "x", "status": None}) == "[task] unknown status=null"
