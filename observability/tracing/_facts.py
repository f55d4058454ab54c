"""What others hand to tracing, and get from it: without OpenTelemetry, so that anybody may hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ORIGIN", "Error", "Sending", "Trace"]

#: What a carrier has that knows where its message was created.
ORIGIN = "traceparent"


@dataclass(frozen=True, slots=True)
class Trace:
    """A span's ids, in hexadecimal, whether it is kept, and what travels with it: the tenant, for one."""

    trace_id: str
    span_id: str
    sampled: bool
    luggage: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, object]:
        """What a log line says of it."""
        return {"trace_id": self.trace_id, "span_id": self.span_id, "sampled": self.sampled, **self.luggage}


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that is about to leave.

    Attributes:
        queue: Where to.
        actor: Who is to do it.
        message_id: The broker's name of it.
        delay_ms: None for one that may start at once.
        carrier: What it carries already, whatever that is.
    """

    queue: str
    actor: str
    message_id: str
    delay_ms: int | None = None
    carrier: object = None

    @property
    def has_origin(self) -> bool:
        """Whether it was created before, and is now sent again."""
        return isinstance(self.carrier, dict) and ORIGIN in self.carrier


@dataclass(frozen=True, slots=True)
class Error:
    """What an attempt failed with."""

    type: str
    message: str
    stack: str = ""
