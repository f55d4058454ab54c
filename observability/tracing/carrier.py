"""Where a message came from, as a message carries it: W3C trace context, and a little baggage.

    {"traceparent": "00-...-01", "tracestate": "...", "baggage": "tenant=acme", "previous": "00-...-01"}

The first three are written once, by whoever creates the message; `previous` is that of its last attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from observability.tracing._loss import LOSSES

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

__all__ = ["BAGGAGE", "MOST_BYTES", "PREVIOUS", "context_of", "inject", "link_of", "luggage", "spell"]

#: What of the baggage travels with a message, and goes to attributes and log lines; never to the labels of a metric.
BAGGAGE = ("tenant", "request_id")
#: Of the encoded baggage of one message.
MOST_BYTES = 512
PREVIOUS = "previous"

_trace_context = TraceContextTextMapPropagator()
_baggage = W3CBaggagePropagator()


def inject(context: Context) -> dict[str, str]:
    """A carrier with the span of `context` and what may travel of its baggage."""
    carrier: dict[str, str] = {}
    _trace_context.inject(carrier, context)
    travelling = Context()
    for key, value in luggage(context).items():
        travelling = baggage.set_baggage(key, value, travelling)
    _baggage.inject(carrier, travelling)
    return carrier


def luggage(context: Context | None = None) -> dict[str, str]:
    """What may travel of the baggage of `context`: the current one, if none is given."""
    taken: dict[str, str] = {}
    left = MOST_BYTES
    for key in BAGGAGE:
        value = baggage.get_baggage(key, context)
        if value is None:
            continue
        size = len(key) + len(quote_plus(str(value))) + 2
        if size > left:
            LOSSES.add("baggage", "too_long")
            continue
        taken[key] = str(value)
        left -= size
    return taken


def context_of(carrier: object) -> Context:
    """What a carrier says, whoever wrote it: what cannot be read is left out."""
    texts = _texts(carrier)
    context = _trace_context.extract(texts, Context())
    if "baggage" not in texts:
        return context
    said = _baggage.extract({"baggage": texts["baggage"][: 4 * MOST_BYTES]}, Context())
    for key, value in luggage(said).items():
        context = baggage.set_baggage(key, value, context)
    return context


def _texts(carrier: object) -> dict[str, str]:
    if not isinstance(carrier, Mapping):
        return {}
    return {key: value for key, value in carrier.items() if isinstance(key, str) and isinstance(value, str)}


def link_of(carrier: object, key: str = PREVIOUS) -> SpanContext | None:
    """The span that a carrier names under `key`, or None."""
    found = get_current_span(_trace_context.extract({"traceparent": _texts(carrier).get(key, "")}, Context()))
    context = found.get_span_context()
    return context if context.is_valid else None


def spell(span: Span) -> str:
    """The span as a `traceparent`."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
