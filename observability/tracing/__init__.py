"""Traces: off unless OTEL_* asks for them, and then OpenTelemetry's SDK with OTLP over HTTP.

Importing this package imports nothing of OpenTelemetry; `start` does, where traces are wanted. What cannot be sent is
counted in `dropped`: a back end that is slow or gone never keeps a job waiting.

    spans = tracing.start("worker")     # None: off
    ...
    tracing.stop(5.0)
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

from observability.plain_log import PlainLog
from observability.tracing._facts import Error, Sending, Trace
from observability.tracing._loss import LOSSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from observability.tracing._parts import Slot
    from observability.tracing.spans import Spans

__all__ = [
    "FLUSH_SECONDS",
    "LOSS_KINDS",
    "Error",
    "Sending",
    "Trace",
    "dropped",
    "exemplar",
    "live",
    "slot",
    "start",
    "stop",
    "wanted",
]

#: What a process that ends gives its last spans to leave.
FLUSH_SECONDS = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_log = PlainLog(__name__)
_lock = threading.Lock()
_live: Spans | None = None


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether OTEL_* asks for traces: by OTEL_TRACES_EXPORTER=otlp, or by an endpoint if that is not set."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters:
        return "otlp" in [name.strip() for name in exporters.split(",")]
    return any(environment.get(name) for name in _ENDPOINTS)


def start(service: str) -> Spans | None:
    """Begin to trace this process, unless it does already; None if nobody asked for it, or if it cannot be done.

    A program that has set up OpenTelemetry itself keeps its own provider, and our spans go there.

    Args:
        service: What kind of process it is; `service.name` is `callboard-<service>` unless OTEL_SERVICE_NAME is set.
    """
    global _live  # noqa: PLW0603 - one provider a process, as OpenTelemetry has it
    with _lock:
        if _live is None:
            _live = _begin(service)
            if _live is not None:
                atexit.register(stop)  # for a program that only sends; a worker has stopped by then
        return _live


def _begin(service: str) -> Spans | None:
    foreign = "opentelemetry.sdk.trace" in sys.modules
    if not foreign and not wanted(os.environ):
        return None
    try:
        from observability.tracing import _provider  # noqa: PLC0415 - 30 MB that a process without traces does without

        return _provider.make(service, wanted=wanted(os.environ))
    except ImportError as error:
        _log.warning("tracing.not_started", reason=str(error), mend="reinstall callboard with its dependencies")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with OTEL_*, the jobs run
        _log.warning("tracing.not_started", reason=f"{type(error).__name__}: {error}")
    return None


def stop(seconds: float = FLUSH_SECONDS) -> None:
    """Send what is left, for `seconds` at most, and trace no more; what did not leave is counted as lost."""
    global _live
    with _lock:
        spans, _live = _live, None
    if spans is not None:
        spans.close(seconds)


def live() -> Spans | None:
    """What traces this process, or None."""
    return _live


def slot(schedule: str) -> AbstractContextManager[Slot | None]:
    """The span of one tick of a schedule, current during the block; None where nothing is traced."""
    spans = _live
    return nullcontext(None) if spans is None else spans.slot(schedule)


def exemplar() -> dict[str, str] | None:
    """`{"trace_id", "span_id"}` of the current span if it is kept, for a histogram's bucket; else None."""
    spans = _live
    return None if spans is None else spans.exemplar()


#: What `dropped` may tell of.
LOSS_KINDS = (("traces", "queue_full"), ("traces", "export_failed"), ("traces", "shutdown"), ("baggage", "too_long"))


def dropped() -> dict[tuple[str, str], int]:
    """What this process could not hand over, by signal and reason, since it began.

    `("traces", "queue_full")`: more ended than could be sent. `export_failed`: the back end refused it, or was not
    there. `shutdown`: not sent when the process ended. `("baggage", "too_long")`: an entry beyond the 512 bytes that
    a message carries.
    """
    return LOSSES.totals()
