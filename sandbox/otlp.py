"""A back end for traces: takes OTLP over HTTP on loopback, keeps what comes, and is slow, broken or gone on demand.

with OtlpReceiver() as back_end:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = back_end.url
    ...
    back_end.spans("process mail")
"""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1 import trace_pb2

__all__ = ["OtlpReceiver", "ReceivedLink", "ReceivedSpan"]

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass(frozen=True)
class ReceivedLink:
    """A link of a span, ids in hexadecimal."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; `parent_id` is "" for a root, `resource` says which process sent it, times are in ns."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: list[ReceivedLink]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    resource: dict[str, Any] = field(repr=False)


class OtlpReceiver:
    """Listens on a free port of loopback while it is entered.

    Attributes:
        status: What requests are answered with; what comes with an error is not kept.
        delay: Seconds before an answer.
    """

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.delay = 0.0
        self._spans: list[ReceivedSpan] = []
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self, name: str = "", **attributes: object) -> list[ReceivedSpan]:
        """What came so far, of this name and with these attributes (`__` for `.`), in the order of their beginning."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        found = [
            span
            for span in list(self._spans)
            if name in ("", span.name) and all(span.attributes.get(key) == value for key, value in wanted.items())
        ]
        return sorted(found, key=lambda span: span.start)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self._spans += [_received(span, resource) for span in of_scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._released.wait(receiver.delay)
                if receiver.status < 400:  # noqa: PLR2004 - HTTP's errors begin there
                    packed = self.headers["Content-Encoding"] == "gzip"
                    receiver._take(gzip.decompress(body) if packed else body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        return Handler


def _received(span: trace_pb2.Span, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=_KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=[ReceivedLink(one.trace_id.hex(), one.span_id.hex(), _plain(one.attributes)) for one in span.links],
        events=[(event.name, _plain(event.attributes)) for event in span.events],
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        resource=resource,
    )


def _plain(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf's list of KeyValue
    pairs: list[KeyValue] = list(attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)
