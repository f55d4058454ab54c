"""The provider of one process, made from OpenTelemetry's own variables."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from observability._version import version
from observability.tracing._batches import Batches, Limits
from observability.tracing._clients import trace_clients
from observability.tracing._loss import LOSSES
from observability.tracing._sampler import FollowLinks, root_sampler
from observability.tracing.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["make"]

# One request to the broker takes 1,000 messages, and its span has a link to each.
_MOST_LINKS = 1000
_RARELY_SECONDS = 60.0
_PROTOCOL = "http/protobuf"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def make(service: str, *, wanted: bool) -> Spans | None:
    """Spans of the provider that the program has set up, or else, if traces are wanted, of a new one.

    Raises:
        ValueError: A variable has a value that we do not know; it names the variable and the mend.
    """
    found = trace.get_tracer_provider()
    if isinstance(found, TracerProvider) and found not in _ours:
        return Spans(found)
    if not wanted:
        return None
    _check_protocol(os.environ)
    sampler, limits = FollowLinks(root_sampler(os.environ)), Limits.of(os.environ)
    batches = Batches(OTLPSpanExporter(), limits, lambda reason, number: LOSSES.add("traces", reason, number))
    provider = TracerProvider(sampler, _resource(service), shutdown_on_exit=False, span_limits=_limits())
    provider.add_span_processor(batches)
    _ours.append(provider)
    if not isinstance(found, TracerProvider):  # it can be set once; a process that starts anew keeps the first
        trace.set_tracer_provider(provider)
    _quieten()
    trace_clients(provider)
    return Spans(provider, batches)


_ours: list[TracerProvider] = []


def _check_protocol(environment: Mapping[str, str]) -> None:
    for name in _PROTOCOLS:
        given = environment.get(name, "").strip()
        if given and given != _PROTOCOL:
            raise ValueError(f"{name}={given!r} is not spoken here: use {_PROTOCOL}; collectors take it on port 4318.")


def _resource(service: str) -> Resource:
    """Who we are; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    ours = {
        "service.name": f"callboard-{service}",
        "service.version": version(),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    said = Resource.create()
    # Without a name the SDK makes one up, `unknown_service`.
    attributes = {key: value for key, value in said.attributes.items() if "unknown_service" not in str(value)}
    return Resource(ours).merge(Resource(attributes, said.schema_url))


def _limits() -> SpanLimits:
    return SpanLimits() if os.environ.get("OTEL_SPAN_LINK_COUNT_LIMIT") else SpanLimits(max_links=_MOST_LINKS)


class _Rarely(logging.Filter):
    """Lets one line a minute pass: the exporter tells of each request that failed, and of each try."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - whichever line it is
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _RARELY_SECONDS
        return True


_rarely = _Rarely()


def _quieten() -> None:
    # A filter acts on its own logger only, not on those below it.
    for name in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.exporter.otlp.common.http"):
        logging.getLogger(name).addFilter(_rarely)
