"""Spans that somebody holds while something goes on."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry import context
from opentelemetry.trace import Status, StatusCode

from observability.redaction import redact_text
from observability.tracing import carrier
from observability.tracing._facts import Error, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

__all__ = ["Attempt", "Sent", "Slot", "note", "trace_of"]

# Characters of what an exception says, and of its traceback.
_LONGEST, _LONGEST_STACK = 1000, 8000


def trace_of(span: Span, luggage: Mapping[str, str] = MappingProxyType({})) -> Trace | None:
    """The ids of a span; None for one that is none."""
    found = span.get_span_context()
    if not found.is_valid:
        return None
    return Trace(f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled, luggage)


class Sent:
    """The spans of messages that leave; `carriers` has what each is to carry, or None where it has one already."""

    def __init__(self, spans: Sequence[Span], carriers: Sequence[dict[str, str] | None]) -> None:
        self._spans = spans
        self.carriers = carriers

    def end(self, error: BaseException | None = None) -> None:
        """They have left, or could not for that reason."""
        for span in self._spans:
            if error is not None:
                note(span, Error(type(error).__name__, str(error)))
            span.end()


class Attempt:
    """The span of an attempt, current in the thread that began it until it ends there."""

    def __init__(self, span: Span, token: Token[Context], luggage: Mapping[str, str]) -> None:
        self._span = span
        self._token = token
        self.trace = trace_of(span, luggage)
        self.traceparent = carrier.spell(span)

    def end(self, outcome: str, error: Error | None = None) -> None:
        """It ended so."""
        context.detach(self._token)
        span = self._span
        span.set_attribute("callboard.outcome", outcome)
        if error is not None:
            note(span, error)
        span.end()


class Slot:
    """The span of a schedule's tick; it is kept once somebody says what became of it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._told = False

    def tell(self, **attributes: AttributeValue) -> None:
        """What became of it: `callboard.<name>` for each."""
        self._told = True
        self._span.set_attributes({f"callboard.{name}": value for name, value in attributes.items()})

    def end(self) -> None:
        """The block is over."""
        if self._told:
            self._span.end()  # a span that never ends is never sent


def note(span: Span, error: Error) -> None:
    """Mark a span as failed; secrets are hidden."""
    span.set_attribute("error.type", error.type)
    message = redact_text(error.message)
    span.set_status(Status(StatusCode.ERROR, message[:_LONGEST]))
    event: dict[str, AttributeValue] = {"exception.type": error.type, "exception.message": message[:_LONGEST]}
    if error.stack:
        event["exception.stacktrace"] = redact_text(error.stack)[-_LONGEST_STACK:]
    span.add_event("exception", event)
