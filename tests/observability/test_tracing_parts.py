"""The parts of tracing by themselves: what is kept, what travels, and when it is on."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from observability import tracing
from observability.tracing import Error, Sending, carrier
from observability.tracing._batches import Limits
from observability.tracing._sampler import CANARY, FollowLinks, root_sampler
from observability.tracing.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.util.types import Attributes

KEPT, DROPPED = (SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(flag)) for flag in (1, 0))


def kept(ratio: str, *links: SpanContext, attributes: Attributes = None, kind: SpanKind = SpanKind.CONSUMER) -> bool:
    sampler = FollowLinks(root_sampler({"OTEL_TRACES_SAMPLER": ratio}))
    decision = sampler.should_sample(Context(), 1, "x", kind, attributes, [Link(link) for link in links])
    return decision.decision is Decision.RECORD_AND_SAMPLE


def test_a_run_is_kept_if_what_created_it_is() -> None:
    assert kept("always_off", KEPT, DROPPED)
    assert not kept("always_on", DROPPED, KEPT)


def test_a_root_without_links_follows_the_variable() -> None:
    assert kept("always_on")
    assert kept("parentbased_always_on")
    assert not kept("parentbased_always_off")


def test_a_canary_is_always_kept() -> None:
    assert kept("always_off", DROPPED, attributes={CANARY: True})


def test_a_clients_call_outside_a_trace_is_never_kept() -> None:
    assert not kept("always_on", kind=SpanKind.CLIENT)
    assert kept("always_off", KEPT, kind=SpanKind.CLIENT)


def test_a_child_follows_its_parent() -> None:
    sampler = FollowLinks(root_sampler({"OTEL_TRACES_SAMPLER": "always_off"}))
    for parent in (KEPT, DROPPED):
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
        kept = sampler.should_sample(context, 1, "x").decision is Decision.RECORD_AND_SAMPLE
        assert kept is parent.trace_flags.sampled


def test_the_ratio_is_read_and_checked() -> None:
    given = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert "0.25" in root_sampler(given).get_description()
    with pytest.raises(ValueError, match="OTEL_TRACES_SAMPLER_ARG='2' must be a share between 0 and 1"):
        root_sampler(given | {"OTEL_TRACES_SAMPLER_ARG": "2"})
    with pytest.raises(ValueError, match="OTEL_TRACES_SAMPLER='jaeger_remote' is unknown"):
        root_sampler({"OTEL_TRACES_SAMPLER": "jaeger_remote"})


def test_limits_are_read_and_checked() -> None:
    given = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "250"}
    assert Limits.of(given) == Limits(queue=100, batch=100, delay=0.25)
    with pytest.raises(ValueError, match="OTEL_BSP_MAX_QUEUE_SIZE='-1' must be a whole number above 0"):
        Limits.of({"OTEL_BSP_MAX_QUEUE_SIZE": "-1"})


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
    ],
)
def test_it_is_on_when_somebody_says_where_to(environment: dict[str, str], on: bool) -> None:  # noqa: FBT001 - a table's column
    assert tracing.wanted(environment) is on


@pytest.mark.parametrize("rubbish", [None, 5, [], {"traceparent": 7}, {"traceparent": "00-x"}, {"baggage": ";;=,"}])
def test_a_carrier_of_rubbish_says_nothing(rubbish: object) -> None:
    context = carrier.context_of(rubbish)
    assert not trace.get_current_span(context).get_span_context().is_valid
    assert carrier.luggage(context) == {}
    assert carrier.link_of(rubbish) is None


def test_baggage_beyond_the_cap_stays_behind_and_is_counted() -> None:
    context = baggage.set_baggage("tenant", "ä" * 100, baggage.set_baggage("request_id", "r" * 10, Context()))
    before = tracing.dropped().get(("baggage", "too_long"), 0)
    carried = carrier.inject(context)["baggage"]
    assert carried == "request_id=rrrrrrrrrr"
    assert len(carried) <= carrier.MOST_BYTES
    assert tracing.dropped()["baggage", "too_long"] == before + 1


def test_baggage_of_a_message_that_others_wrote_is_cut_to_what_may_travel() -> None:
    context = carrier.context_of({"baggage": "tenant=acme,card=4111,request_id=" + "r" * 600})
    assert dict(baggage.get_all(context)) == {"tenant": "acme"}


@pytest.fixture
def memory() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(memory: InMemorySpanExporter) -> Spans:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    return Spans(provider)


def test_the_exemplar_is_that_of_the_current_span(spans: Spans) -> None:
    assert spans.exemplar() is None
    attempt = spans.attempt("mail", None, {})
    assert attempt.trace is not None
    assert spans.exemplar() == {"trace_id": attempt.trace.trace_id, "span_id": attempt.trace.span_id}
    attempt.end("success")
    assert spans.exemplar() is None


def test_there_is_no_exemplar_of_what_is_not_kept(spans: Spans) -> None:
    off = Spans(
        TracerProvider(FollowLinks(root_sampler({"OTEL_TRACES_SAMPLER": "always_off"})), shutdown_on_exit=False)
    )
    attempt = off.attempt("mail", None, {})
    assert off.exemplar() is None
    assert spans.exemplar() is None
    attempt.end("success")


def test_a_message_that_is_sent_again_keeps_its_origin(spans: Spans, memory: InMemorySpanExporter) -> None:
    (origin,) = spans.send([Sending("mail", "a", "1")]).carriers
    again = spans.send([Sending("mail", "a", "1", carrier=origin), Sending("mail", "a", "2")])
    again.end()
    assert origin is not None
    assert again.carriers[0] is None
    assert again.carriers[1] is not None
    (send,) = (span for span in memory.get_finished_spans() if span.kind is SpanKind.CLIENT)
    assert f"{send.links[0].context.span_id:016x}" in origin["traceparent"]


def test_a_sending_that_fails_says_so(spans: Spans, memory: InMemorySpanExporter) -> None:
    spans.send([Sending("mail", "a", "1")]).end(ConnectionError("gone, token=abc123"))
    (send,) = memory.get_finished_spans()
    assert (send.attributes or {})["error.type"] == "ConnectionError"
    assert "abc123" not in send.to_json()


def test_an_attempt_that_failed_says_why(spans: Spans, memory: InMemorySpanExporter) -> None:
    spans.attempt("mail", None, {}).end("failed", Error("ValueError", "no", "Traceback ..."))
    (process,) = memory.get_finished_spans()
    assert [event.name for event in process.events] == ["exception"]
    assert not process.status.is_ok


def test_a_slot_of_which_nobody_told_anything_is_thrown_away(spans: Spans, memory: InMemorySpanExporter) -> None:
    with spans.slot("nightly"):
        pass
    assert memory.get_finished_spans() == ()
    with spans.slot("nightly") as slot:
        slot.tell(outcome="fired")
    with pytest.raises(ValueError, match="no"), spans.slot("nightly"):
        raise ValueError("no")
    first, second = memory.get_finished_spans()
    assert (first.attributes or {})["callboard.outcome"] == "fired"
    assert (second.attributes or {})["callboard.outcome"] == "failed"


_IMPORTS = (
    "import sys, callboard, callboard.worker, scheduler, observability.tracing as t; assert t.start('x') is None; "
    "assert t.exemplar() is None; print([m for m in sys.modules if m.partition('.')[0] == 'opentelemetry'])"
)


def test_off_it_imports_nothing() -> None:
    clean = {"PATH": "/usr/bin"}
    said = subprocess.run([sys.executable, "-c", _IMPORTS], env=clean, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
