"""Ended spans wait here until a thread of their own has sent them; whoever ends a span never waits.

The SDK's own processor is not used: its `force_flush` ignores its time limit, and what it drops is only logged.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult

from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Batches", "Limits"]

_log = PlainLog(__name__)
# A back end that did not take the last batch gets no more than this when the process ends.
_DEAD_SECONDS = 1.0
_ABORT_SECONDS = 0.5
_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Limits:
    """Spans that may wait, spans of one request, and seconds between two requests."""

    queue: int = 2048
    batch: int = 512
    delay: float = 5.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """From OpenTelemetry's own variables.

        Raises:
            ValueError: One is no number above 0.
        """
        queue = _positive(environment, "OTEL_BSP_MAX_QUEUE_SIZE", cls.queue)
        batch = _positive(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", cls.batch)
        delay = _positive(environment, "OTEL_BSP_SCHEDULE_DELAY", int(cls.delay * 1000))
        return cls(queue, min(batch, queue), delay / 1000)


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.strip().isdigit() or int(text) <= 0:
        raise ValueError(f"{name}={text!r} must be a whole number above 0.")
    return int(text)


class Batches(SpanProcessor):
    """Sends sampled spans in batches.

    Args:
        exporter: Sends one batch, and takes its time.
        limits: How many, how often.
        lost: Told the reason and the number of spans that were given up.
    """

    def __init__(self, exporter: SpanExporter, limits: Limits, lost: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._limits = limits
        self._lost = lost
        self._failing = False
        self._closed = False
        self._begin()
        again = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (method := again()) and method())

    def _begin(self) -> None:
        """Start from nothing: now, and in each child that this process forks."""
        self._queue: deque[ReadableSpan] = deque()
        self._sending = 0
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: only what has ended is sent."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take it, or count it as lost; never waits."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._closed:
            self._lost("shutdown", 1)
        elif len(self._queue) >= self._limits.queue:
            self._lost("queue_full", 1)
        else:
            self._queue.append(span)
            if len(self._queue) >= self._limits.batch and not self._wake.is_set():
                self._wake.set()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="spans", daemon=True)
                with suppress(RuntimeError):  # the system gives no more threads now; the next span asks again
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        with suppress_instrumentation():  # the requests that carry spans have none
            while not self._closed:
                self._wake.wait(self._limits.delay)
                self._wake.clear()
                self._drain()
            self._drain()

    def _drain(self) -> None:
        for _ in range(1 + len(self._queue) // self._limits.batch):
            batch = self._take()
            if batch:
                self._send(batch)
        with self._idle:
            self._idle.notify_all()

    def _take(self) -> list[ReadableSpan]:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.batch))]
        self._sending = len(batch)
        return batch

    def _send(self, batch: list[ReadableSpan]) -> None:
        try:
            sent = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - an exporter that breaks loses its batch, and the next one may go
            _log.warning("tracing.export_broke", error=str(error), error_type=type(error).__name__)
            sent = False
        lost, self._sending = self._sending, 0
        if not sent and lost:
            self._lost("export_failed", lost)
        if sent is self._failing:
            _tell(failing=not sent)
        self._failing = not sent

    def force_flush(self, timeout_millis: int = 5000) -> bool:
        """Wait until what has ended by now has been sent or lost; False if that takes longer."""
        deadline = time.monotonic() + timeout_millis / 1000
        with self._idle:
            self._wake.set()
            return self._idle.wait_for(lambda: not (self._queue or self._sending), deadline - time.monotonic())

    def close(self, seconds: float) -> None:
        """Send the rest, for so long at most; what is left then is lost."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(min(seconds, _DEAD_SECONDS) if self._failing else seconds)
        late = self._thread is not None and self._thread.is_alive()
        left, self._sending = len(self._queue) + (self._sending if late else 0), 0
        self._queue.clear()
        if left:
            self._lost("shutdown", left)
        self._exporter.shutdown()  # ends a request's pause before its next try
        if late and self._thread is not None:
            self._thread.join(_ABORT_SECONDS)

    def shutdown(self) -> None:
        """As OpenTelemetry calls it."""
        self.close(_FLUSH_SECONDS)


def _tell(*, failing: bool) -> None:
    if failing:
        _log.warning("tracing.export_failed", told="spans are being lost and counted; jobs go on")
    else:
        _log.info("tracing.export_works_again")
