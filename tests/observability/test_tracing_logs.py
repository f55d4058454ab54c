"""The log lines of a worker process: the fields that tie them to runs, metrics and traces."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from observability.events import COMMON_FIELDS
from sandbox.otlp import OtlpReceiver
from tests.observability.tracing_rig import Rig, arrived, running
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Section 6 of the design.
PROMISED = [
    "ts",
    "level",
    "logger",
    "event",
    "msg",
    "service",
    "version",
    "instance",
    "pid",
    "thread",
    "run_id",
    "message_id",
    "actor",
    "queue",
    "schedule",
    "attempt",
    "outcome",
    "duration_ms",
    "wait_ms",
    "error_type",
    "error",
    "stack",
    "trace_id",
    "span_id",
    "sampled",
    "tenant",
]
WITH_TENANT = (
    "import opentelemetry.baggage as b, opentelemetry.context as c\nc.attach(b.set_baggage('tenant', 'acme'))\n"
)


@pytest.fixture
def back_end() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def rig(back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Rig]:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url)) as made:
        yield made


def work(rig: Rig, form: str) -> None:
    rig.start([sys.executable, "-m", "cli", "worker-process"], {"CALLBOARD_LOG_FORMAT": form})


def logged(rig: Rig, number: int, event: str, **said: object) -> list[dict[str, Any]]:
    """So many JSON lines of an event, as soon as they are there."""

    def look() -> list[dict[str, Any]] | None:
        lines = [json.loads(line) for line in rig.output.read_text().splitlines() if line.startswith("{")]
        found = [line for line in lines if line["event"] == event and said.items() <= line.items()]
        return found if len(found) >= number else None

    found = eventually(look, 20, what=f"{number} lines {event}")
    assert found is not None
    return found


def test_every_promised_field_is_documented() -> None:
    assert set(PROMISED) <= set(COMMON_FIELDS)


def test_all_lines_of_an_attempt_name_its_run_and_its_span(rig: Rig, back_end: OtlpReceiver) -> None:
    work(rig, "json")
    rig.send(WITH_TENANT + "calm.send(7)")
    (span,) = arrived(back_end, 1, "process traced")
    (end,) = logged(rig, 1, "job.finished")
    run_id = span.attributes["callboard.run_id"]
    ties = {
        "run_id": run_id,
        "message_id": run_id,
        "actor": "calm",
        "queue": "traced",
        "attempt": 1,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "sampled": True,
        "tenant": "acme",
    }
    for line in (*logged(rig, 1, "job.started"), *logged(rig, 1, "calm.done"), end):
        assert {key: line.get(key) for key in ties} == ties, line["event"]
    assert end["outcome"] == "success"
    assert 0 <= end["duration_ms"] <= 60_000
    assert 0 <= end["wait_ms"] <= 60_000
    assert end["msg"] == "[task] calm id=7 attempt=1 status=success"
    known = [name for name in COMMON_FIELDS if name in end]
    assert list(end)[: len(known)] == known


def test_a_failed_attempt_says_why_and_hides_secrets(rig: Rig) -> None:
    work(rig, "json")
    rig.send("flaky.send()")
    first = logged(rig, 2, "job.finished", outcome="retry")[0]
    assert (first["error_type"], first["level"]) == ("TransientError", "warning")
    assert "attempt 1 failed" in first["error"]
    assert "tracing_jobs.py" in first["stack"]
    assert "hunter2" not in rig.output.read_text()


def test_a_scheduled_run_names_its_schedule(rig: Rig) -> None:
    work(rig, "json")
    rig.scheduler()
    (end, *_) = logged(rig, 1, "job.finished", actor="ticking")
    (start, *_) = logged(rig, 1, "job.started", actor="ticking")
    assert (end["schedule"], start["schedule"]) == ("ticking", "ticking")
    assert start["wait_ms"] >= 0


def test_text_shows_none_of_it(rig: Rig) -> None:
    work(rig, "text")
    rig.send(WITH_TENANT + "calm.send(7)")
    end = eventually(lambda: re.search(r"^\[task\] .*$", rig.output.read_text(), re.MULTILINE), 20)
    assert end is not None
    assert end[0] == "[task] calm id=7 attempt=1 status=success"
    said = re.search(r"^\S+ +info +\[.*calm\.done.*$", rig.output.read_text(), re.MULTILINE)
    assert said is not None
    assert said[0].partition("]")[2] == " calm.done job=calm number=7"
