"""Traces of real worker processes, as a real back end receives them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.otlp import OtlpReceiver
from tests.observability.tracing_rig import Rig, arrived, running
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
JOBS = "tests.observability.tracing_jobs"
pytestmark = pytest.mark.long

#: Spans leave when the process ends, or not at all.
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


@pytest.fixture
def back_end() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def rig(back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[Rig]:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url)) as made:
        yield made


def test_an_attempt_is_a_trace_of_its_own_that_links_to_its_sender(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("calm.send(7)")
    (process,) = arrived(back_end, 1, "process traced")
    (send,) = arrived(back_end, 1, "send traced")
    assert (send.kind, process.kind) == ("PRODUCER", "CONSUMER")
    assert process.parent_id == ""
    assert process.trace_id != send.trace_id
    assert [(link.trace_id, link.span_id) for link in process.links] == [(send.trace_id, send.span_id)]
    assert process.links[0].attributes == {"callboard.link": "creation"}
    assert send.resource["service.name"] == "callboard-api"
    assert process.resource["service.name"] == "callboard-worker"


def test_the_attributes_follow_the_conventions(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("calm.send(7)")
    (process,) = arrived(back_end, 1, "process traced")
    (send,) = arrived(back_end, 1, "send traced")
    run_id = str(rig.query("select id from board.runs")[0][0])
    assert send.attributes["server.address"] == "127.0.0.1"
    assert send.attributes["messaging.operation.type"] == "send"
    wait = process.attributes.pop("callboard.wait_ms")
    assert 0 <= wait < 60_000
    assert process.attributes == {
        "messaging.system": "dramatiq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "traced",
        "messaging.message.id": run_id,
        "callboard.run_id": run_id,
        "callboard.actor": "calm",
        "callboard.attempt": 1,
        "callboard.trigger": "send",
        "callboard.outcome": "success",
    }


def test_a_retry_links_to_the_creation_and_to_the_attempt_before(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("flaky.send()")
    first, second, third = arrived(back_end, 3, "process traced")
    (send,) = back_end.spans("send traced")
    outcomes = [span.attributes["callboard.outcome"] for span in (first, second, third)]
    assert outcomes == ["retry", "retry", "success"]
    assert [span.attributes["callboard.attempt"] for span in (first, second, third)] == [1, 2, 3]
    for before, span in ((first, second), (second, third)):
        creation, previous = span.links
        assert (creation.span_id, creation.attributes) == (send.span_id, {"callboard.link": "creation"})
        assert (previous.span_id, previous.trace_id) == (before.span_id, before.trace_id)
        assert previous.attributes == {"callboard.link": "previous_attempt"}
    assert len({span.trace_id for span in (send, first, second, third)}) == 4


def test_a_failure_is_told_without_its_secrets(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("flaky.send(); hopeless.send()")
    retried = arrived(back_end, 1, "process traced", callboard__outcome="retry")[0]
    (failed,) = arrived(back_end, 1, "process traced", callboard__outcome="failed")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "PermanentError")
    ((name, event),) = retried.events
    assert (name, event["exception.type"]) == ("exception", "TransientError")
    assert "attempt 1 failed" in event["exception.message"]
    assert "tracing_jobs.py" in event["exception.stacktrace"]
    assert "hunter2" not in repr(retried)


def test_messages_that_leave_together_are_created_one_by_one(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("calm.send_many([(n,) for n in range(5)])")
    created = arrived(back_end, 5, "create traced")
    (send,) = arrived(back_end, 1, "send traced")
    processed = arrived(back_end, 5, "process traced")
    assert {span.kind for span in created} == {"PRODUCER"}
    assert (send.kind, send.attributes["messaging.batch.message_count"]) == ("CLIENT", 5)
    assert {link.span_id for link in send.links} == {span.span_id for span in created}
    assert {span.links[0].span_id for span in processed} == {span.span_id for span in created}


def test_what_a_run_sends_belongs_to_its_trace(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("chain.send()")
    (parent,) = arrived(back_end, 1, "process traced", callboard__actor="chain")
    children = arrived(back_end, 3, "process traced", callboard__actor="calm")
    (sent,) = back_end.spans("send traced", callboard__actor="calm")
    created = back_end.spans("create traced")
    assert {span.parent_id for span in (sent, *created)} == {parent.span_id}
    assert {span.links[0].trace_id for span in children} == {parent.trace_id}


def test_an_option_makes_the_attempt_go_on_with_its_senders_trace(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("calm.send_with_options(**{'callboard.trace.parent': True})")
    (process,) = arrived(back_end, 1, "process traced")
    (send,) = arrived(back_end, 1, "send traced")
    assert (process.trace_id, process.parent_id, process.links) == (send.trace_id, send.span_id, [])


def test_statements_and_calls_of_a_run_have_one_span_each(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("asks.send(); durable.send()")
    (process,) = arrived(back_end, 1, "process traced", callboard__actor="asks")
    arrived(back_end, 1, "process traced", callboard__actor="durable")
    clients = [span for span in back_end.spans() if span.kind == "CLIENT" and span.parent_id == process.span_id]
    rig.stop()
    statement, call = clients
    assert "select 41 + 1" in statement.attributes["db.statement"]
    assert call.name == "GET"
    # Neither the engine's heartbeats nor what it writes and reads around a run.
    of_worker = [span for span in back_end.spans() if span.resource["service.name"] == "callboard-worker"]
    assert {span.name for span in of_worker} - {"process traced", statement.name, call.name} == set()
    assert len(of_worker) == 4


def test_the_baggage_that_may_travel_reaches_the_run_and_nothing_else_does(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send(
        "import opentelemetry.baggage as b, opentelemetry.context as c\n"
        "c.attach(b.set_baggage('tenant', 'acme'))\n"
        "c.attach(b.set_baggage('card', '4111'))\n"
        "c.attach(b.set_baggage('request_id', 'x' * 600))\n"
        "chain.send()"
    )
    processed = arrived(back_end, 4, "process traced")
    assert {span.attributes["callboard.tenant"] for span in processed} == {"acme"}
    assert "4111" not in repr(back_end.spans())
    assert "xxx" not in repr(back_end.spans())


def test_a_slot_of_a_schedule_is_a_trace_and_its_run_links_to_it(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.scheduler()
    slots = arrived(back_end, 2, "schedule ticking")
    process = arrived(back_end, 1, "process traced", callboard__schedule="ticking")[0]
    (slot,) = (span for span in slots if span.trace_id == process.links[0].trace_id)
    assert (slot.kind, slot.parent_id) == ("INTERNAL", "")
    assert slot.attributes["callboard.outcome"] == "fired"
    assert slot.attributes["callboard.lag_ms"] >= 0
    (sent,) = (span for span in back_end.spans("send traced") if span.trace_id == slot.trace_id)
    assert (sent.parent_id, process.links[0].span_id) == (slot.span_id, sent.span_id)
    assert slot.resource["service.name"] == "callboard-scheduler"


def test_all_spans_have_left_when_a_worker_has_ended(
    back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path
) -> None:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url, **NEVER)) as rig:
        worker = rig.worker()
        rig.send("[calm.send(n) for n in range(10)]")
        rig.ended(10)
        assert back_end.spans("process traced") == []
        worker.terminate()
        assert worker.wait(20) == 0
        assert len(back_end.spans("process traced")) == 10
        assert len(back_end.spans("send traced")) == 10
        rig.processes.remove(worker)


def test_without_a_request_for_traces_there_are_none(
    back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path
) -> None:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, "")) as rig:
        rig.worker()
        rig.send("import sys; calm.send(); assert not any(m.startswith('opentelemetry') for m in sys.modules)")
        rig.ended(1)
        assert rig.query("select count(*) from board.runs where convert_from(payload, 'utf8') like '%otel%'")[0][0] == 0
    eventually(lambda: back_end.spans() == [], what="no span at all")


def test_a_message_that_comes_too_late_is_told_as_skipped(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.send("durable.send()")
    (run_id,) = rig.query("select id::text from board.runs")[0]
    rig.send(f"from callboard.cancel import cancel; from uuid import UUID; cancel(UUID({run_id!r}), by='test')")
    rig.worker()
    (process,) = arrived(back_end, 1, "process traced")
    assert process.attributes["callboard.outcome"] == "cancelled"
    assert process.attributes["callboard.reason"] == "ended cancelled"
    assert [link.span_id for link in process.links] == [back_end.spans("send traced")[0].span_id]


def test_a_run_that_was_held_back_by_a_limit_says_so(rig: Rig, back_end: OtlpReceiver) -> None:
    rig.worker()
    rig.send("limited.send(); limited.send()")
    first, second = arrived(back_end, 2, "process traced")
    assert "callboard.waited_for" not in first.attributes
    assert second.attributes["callboard.waited_for"] == "limit"


def test_the_stock_worker_sends_its_spans_before_it_ends(
    back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path
) -> None:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url, **NEVER)) as rig:
        command = [str(BIN / "dramatiq"), "callboard:get_broker", JOBS, "-p", "1", "-t", "2"]
        worker = rig.start(command, {})
        rig.send("flaky.send()")
        rig.ended(1)
        worker.terminate()
        worker.wait(20)
        rig.processes.remove(worker)
        outcomes = [span.attributes["callboard.outcome"] for span in back_end.spans("process traced")]
        assert outcomes == ["retry", "retry", "success"]


def test_a_worker_process_that_is_renewed_has_sent_its_spans(
    back_end: OtlpReceiver, postgres_url: str, broker_url: str, tmp_path: Path
) -> None:
    with running(lambda: Rig(postgres_url, broker_url, tmp_path, back_end.url, **NEVER)) as rig:
        renewed = {"CALLBOARD_WORKER_MAX_JOBS": "10", "CALLBOARD_WORKER_METRICS_PORT": "0"}
        rig.start([sys.executable, "-m", "cli", "worker", "--processes", "1"], renewed)
        rig.send("[calm.send(n) for n in range(10)]")
        assert len(arrived(back_end, 10, "process traced")) == 10
