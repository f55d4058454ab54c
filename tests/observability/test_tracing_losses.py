"""A back end for traces that is gone, broken or slow: no job fails or waits for it, and what is lost is counted."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from observability.tracing._batches import Batches, Limits
from sandbox.otlp import OtlpReceiver
from tests.observability.tracing_rig import Rig, running
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_ROOT = Path(__file__).parent.parent.parent
_NOBODY = "http://127.0.0.1:9"  # the port "discard": nobody listens


class Lost(dict[str, int]):
    """What was told to be lost, by reason."""

    def __call__(self, reason: str, number: int) -> None:
        self[reason] = self.get(reason, 0) + number


class Gate(SpanExporter):
    """An exporter that is at its work until it is let go; then each batch meets the fate it was given."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.result = SpanExportResult.SUCCESS
        self.sent = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.open.wait(30)
        self.sent += len(spans) if self.result is SpanExportResult.SUCCESS else 0
        return self.result

    def shutdown(self) -> None:
        self.open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    exporter = Gate()
    yield exporter
    exporter.open.set()


def spans(batches: Batches, number: int) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(batches)
    for _ in range(number):
        provider.get_tracer("test").start_span("one").end()


def test_what_does_not_fit_in_the_queue_is_counted_and_nobody_waits(gate: Gate) -> None:
    lost = Lost()
    batches = Batches(gate, Limits(queue=10, batch=5, delay=0.01), lost)
    spans(batches, 1)
    assert gate.entered.wait(5)
    began = time.monotonic()
    spans(batches, 25)
    assert time.monotonic() - began < 1
    assert lost == {"queue_full": 15}
    gate.open.set()
    batches.close(5)
    assert (gate.sent, lost) == (11, {"queue_full": 15})


def test_what_the_back_end_refuses_is_counted(gate: Gate) -> None:
    lost = Lost()
    gate.result = SpanExportResult.FAILURE
    gate.open.set()
    batches = Batches(gate, Limits(), lost)
    spans(batches, 7)
    assert batches.force_flush(5000)
    assert lost == {"export_failed": 7}
    batches.close(5)


def test_the_end_waits_no_longer_than_it_may_and_counts_what_is_left(gate: Gate) -> None:
    lost = Lost()
    batches = Batches(gate, Limits(batch=4, delay=0.01), lost)
    spans(batches, 1)
    assert gate.entered.wait(5)
    spans(batches, 5)
    assert not batches.force_flush(100)
    began = time.monotonic()
    batches.close(0.2)
    assert time.monotonic() - began < 2
    assert lost == {"shutdown": 6}
    spans(batches, 1)
    assert lost == {"shutdown": 7}


@pytest.mark.long
@pytest.mark.parametrize("fault", ["gone", "broken", "slow"])
def test_no_job_fails_or_waits(fault: str, postgres_url: str, broker_url: str, tmp_path: Path) -> None:
    with OtlpReceiver() as back_end:
        back_end.status = 500 if fault == "broken" else 200
        back_end.delay = 60 if fault == "slow" else 0
        url = _NOBODY if fault == "gone" else back_end.url
        with running(lambda: Rig(postgres_url, broker_url, tmp_path, url)) as rig:
            worker = rig.worker()
            rig.send("calm.send_many([(n,) for n in range(200)])")
            rig.ended(200)
            assert rig.query("select distinct state from board.runs") == [("completed",)]
            assert rig.query("select max(finished_at - started_at) < interval '2 s' from board.runs")[0][0]
            began = time.monotonic()
            worker.terminate()
            assert worker.wait(20) == 0
            assert time.monotonic() - began < 7.5
            rig.processes.remove(worker)


_COUNT = """
from observability import tracing
from tests.observability.tracing_jobs import calm
calm.send_many([(n,) for n in range(20)])
tracing.stop(3)
print(sorted(tracing.dropped().items()))
"""


def test_the_loss_can_be_asked_for(postgres_url: str, broker_url: str, tmp_path: Path) -> None:
    with OtlpReceiver() as back_end, running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url)) as rig:
        back_end.status = 400
        said = subprocess.run(
            [sys.executable, "-c", _COUNT], env=rig.environment, capture_output=True, text=True, check=True
        )
    assert said.stdout == "[(('traces', 'export_failed'), 21)]\n"


def test_a_setting_that_cannot_be_followed_costs_the_traces_and_no_job(
    postgres_url: str, broker_url: str, tmp_path: Path
) -> None:
    wrong = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, _NOBODY, **wrong)) as rig:
        rig.worker()
        rig.send("calm.send()")
        rig.ended(1)
        told = eventually(lambda: re.search(r"tracing.not_started.*", rig.output.read_text()))
    assert told is not None
    assert "use http/protobuf" in told[0]
