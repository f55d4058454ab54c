"""Which traces are kept: a run follows the trace that sent it, though it is a trace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanKind, get_current_span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, TraceState
    from opentelemetry.util.types import Attributes

__all__ = ["CANARY", "FollowLinks", "root_sampler"]

#: A root span with this attribute is always kept.
CANARY = "callboard.canary"


class FollowLinks(Sampler):
    """Decides as the parent did; without one, as the first link did; without any, as `root` does.

    A sampler that looks at parents only would keep a run and drop the trace that its link leads to. A client's call
    that belongs to no trace is the engine's own (a heartbeat, a commit of many runs), and never kept.
    """

    def __init__(self, root: Sampler) -> None:
        self._root = root

    def should_sample(  # noqa: PLR0917 - OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As OpenTelemetry calls it."""
        parent = get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            return _result(attributes, parent.trace_state, keep=parent.trace_flags.sampled)
        if attributes and attributes.get(CANARY):
            return _result(attributes, trace_state, keep=True)
        if kind is SpanKind.CLIENT and not links:
            return _result(attributes, trace_state, keep=False)
        if links:
            return _result(attributes, trace_state, keep=links[0].context.trace_flags.sampled)
        return self._root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"FollowLinks({self._root.get_description()})"


def _result(attributes: Attributes, state: TraceState | None, *, keep: bool) -> SamplingResult:
    if keep:
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)
    return SamplingResult(Decision.DROP, None, state)


def root_sampler(environment: Mapping[str, str]) -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER names; `parentbased_` before it changes nothing, for links come first.

    Raises:
        ValueError: The name, or the ratio in OTEL_TRACES_SAMPLER_ARG, is none that we know.
    """
    given = environment.get("OTEL_TRACES_SAMPLER", "always_on").strip().lower() or "always_on"
    match given.removeprefix("parentbased_"):
        case "always_on":
            return ALWAYS_ON
        case "always_off":
            return ALWAYS_OFF
        case "traceidratio":
            return TraceIdRatioBased(_ratio(environment.get("OTEL_TRACES_SAMPLER_ARG", "1.0")))
        case _:
            raise ValueError(
                f"OTEL_TRACES_SAMPLER={given!r} is unknown: use always_on, always_off or traceidratio, "
                "with or without parentbased_ before it."
            )


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG={text!r} must be a share between 0 and 1.")
    return ratio
