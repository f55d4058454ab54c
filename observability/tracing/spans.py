"""The spans of messages, by OpenTelemetry's conventions for messaging; this module needs OpenTelemetry.

=================  ========  ==================================================================================
`send {queue}`     PRODUCER  one message: what its sender does, and where the message comes from
`create {queue}`   PRODUCER  one of several messages that leave together by one `send {queue}`, a CLIENT then
`process {queue}`  CONSUMER  an attempt: a trace of its own, with links to the creation and to the last attempt
`schedule {name}`  INTERNAL  what became of one tick of a schedule, a trace of its own
=================  ========  ==================================================================================
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind

from observability import logs
from observability._version import version
from observability.tracing import carrier as carriers
from observability.tracing._facts import ORIGIN, Error
from observability.tracing._parts import Attempt, Sent, Slot, note, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opentelemetry.trace import Span, SpanContext, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from observability.tracing._batches import Batches
    from observability.tracing._facts import Sending

__all__ = ["Spans"]

_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_NOTHING: Mapping[str, AttributeValue] = MappingProxyType({})
_SYSTEM = {"messaging.system": "dramatiq"}


class Spans:
    """Makes spans, and says what the current one is.

    Args:
        provider: Where they go.
        batches: What is to be emptied in the end; None: whoever made the provider sees to it.
    """

    def __init__(self, provider: TracerProvider, batches: Batches | None = None) -> None:
        self._tracer = provider.get_tracer("callboard", version(), _SCHEMA)
        self._batches = batches
        logs.add_context(_log_fields)

    # Sending

    def send(self, batch: Sequence[Sending], server: Mapping[str, AttributeValue] = _NOTHING) -> Sent:
        """Begin the span of messages that leave together; `server` is where to: `server.address`, `server.port`."""
        if len(batch) == 1 and not batch[0].has_origin:
            span = self._producer("send", batch[0], server)
            return Sent([span], [carriers.inject(trace.set_span_in_context(span))])
        origins = [self._create(one, server) for one in batch]
        queues: dict[str, list[Link]] = {}
        for one, (_, created) in zip(batch, origins, strict=True):
            links = queues.setdefault(one.queue, [])
            context = created or carriers.link_of(one.carrier, ORIGIN)
            if context is not None:
                links.append(Link(context))
        return Sent(
            [self._client(queue, links, server) for queue, links in queues.items()], [carrier for carrier, _ in origins]
        )

    def _create(
        self, one: Sending, server: Mapping[str, AttributeValue]
    ) -> tuple[dict[str, str] | None, SpanContext | None]:
        if one.has_origin:
            return None, None
        span = self._producer("create", one, server)
        span.end()
        return carriers.inject(trace.set_span_in_context(span)), span.get_span_context()

    def _producer(self, operation: str, one: Sending, server: Mapping[str, AttributeValue]) -> Span:
        attributes: dict[str, AttributeValue] = {
            **_messaging(operation, one.queue),
            **server,
            **_told(carriers.luggage()),
            "messaging.message.id": one.message_id,
            "callboard.actor": one.actor,
        }
        if one.delay_ms is not None:
            attributes["callboard.delay_ms"] = one.delay_ms
        return self._tracer.start_span(f"{operation} {one.queue}", kind=SpanKind.PRODUCER, attributes=attributes)

    def _client(self, queue: str, links: Sequence[Link], server: Mapping[str, AttributeValue]) -> Span:
        attributes = {**_messaging("send", queue), **server, "messaging.batch.message_count": len(links)}
        return self._tracer.start_span(f"send {queue}", kind=SpanKind.CLIENT, attributes=attributes, links=links)

    # Working

    def attempt(
        self, queue: str, carrier: object, attributes: Mapping[str, AttributeValue], *, parent: bool = False
    ) -> Attempt:
        """Begin the span of an attempt and make it current; its `end` is called in the same thread.

        Args:
            queue: Where the message lay.
            carrier: What the message carries; whatever cannot be read of it is left out.
            attributes: What is known of the attempt.
            parent: Go on with the trace of the creation, instead of a link to it.
        """
        origin = carriers.context_of(carrier)
        created = trace.get_current_span(origin).get_span_context()
        links = [] if parent or not created.is_valid else [Link(created, {"callboard.link": "creation"})]
        last = carriers.link_of(carrier)
        if last is not None:
            links.append(Link(last, {"callboard.link": "previous_attempt"}))
        surroundings = Context()
        told = carriers.luggage(origin)
        for key, value in told.items():
            surroundings = baggage.set_baggage(key, value, surroundings)
        span = self._tracer.start_span(
            f"process {queue}",
            context=origin if parent else surroundings,
            kind=SpanKind.CONSUMER,
            attributes={**_messaging("process", queue), **attributes, **_told(told)},
            links=links,
        )
        return Attempt(span, context.attach(trace.set_span_in_context(span, surroundings)), told)

    @contextmanager
    def slot(self, schedule: str) -> Iterator[Slot]:
        """The root span of a tick, current during the block; it is thrown away unless the block tells what it did."""
        name = {"callboard.schedule": schedule}
        span = self._tracer.start_span(f"schedule {schedule}", context=Context(), attributes=name)
        slot = Slot(span)
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                yield slot
            except Exception as error:
                slot.tell(outcome="failed")
                note(span, Error(type(error).__name__, str(error)))
                raise
            finally:
                slot.end()

    # The current span

    def exemplar(self) -> dict[str, str] | None:
        """The ids of the current span if it is kept."""
        found = trace_of(trace.get_current_span())
        return {"trace_id": found.trace_id, "span_id": found.span_id} if found is not None and found.sampled else None

    def flush(self, seconds: float) -> bool:
        """Wait until all that has ended is sent or lost; False if that takes longer."""
        return self._batches is None or self._batches.force_flush(int(seconds * 1000))

    def close(self, seconds: float) -> None:
        """Send what is left, for `seconds` at most."""
        if self._batches is not None:
            self._batches.close(seconds)


def _messaging(operation: str, queue: str) -> dict[str, AttributeValue]:
    return {
        **_SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
    }


def _told(luggage: Mapping[str, str]) -> dict[str, AttributeValue]:
    return {f"callboard.{key}": value for key, value in luggage.items()}


def _log_fields() -> Mapping[str, object]:
    """What every log line within a span carries."""
    found = trace_of(trace.get_current_span(), carriers.luggage())
    if found is None:
        return {}
    return found.fields()
