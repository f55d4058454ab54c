"""A source of the exporter's facts, read in bounded time: one that hangs costs a scrape no more than its patience.

A server that is frozen, or cut off by a firewall that drops packets, answers nothing and closes nothing, and neither a
statement timeout nor a keepalive ends a read in time. So each reading has a thread of its own, and a scrape that has
waited long enough goes on without it. While a reading is under way, whoever asks waits for the same one: a source that
hangs holds one thread and one connection, however often it is asked.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import structlog

from observability.snapshot import SourceState

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE_SECONDS", "Answer", "Source"]

#: What a source may take; Prometheus' own default for a whole scrape is 10 s.
PATIENCE_SECONDS = 5.0
T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Answer(NamedTuple, Generic[T]):
    """What a source said, None if it did not; and how it went."""

    facts: T | None
    state: SourceState


class Reading(Generic[T]):
    """One reading in a thread of its own; never raises."""

    def __init__(self, name: str, read: Callable[[], T]) -> None:
        self._name = name
        self._read = read
        self._began = time.monotonic()
        self._done = threading.Event()
        self._facts: T | None = None
        self._state = SourceState(up=False, seconds=0.0)
        threading.Thread(target=self._run, name=f"source-{name}", daemon=True).start()

    @property
    def under_way(self) -> bool:
        """False once it has answered or failed."""
        return not self._done.is_set()

    def wait(self, patience: float) -> Answer[T]:
        """Its answer, or that of a source that is down, `patience` seconds after the reading began."""
        if self._done.wait(max(self._began + patience - time.monotonic(), 0.0)):
            return Answer(self._facts, self._state)
        seconds = time.monotonic() - self._began
        _log.warning("exporter.source_hangs", source=self._name, seconds=round(seconds, 1))
        return Answer(None, SourceState(up=False, seconds=seconds))

    def _run(self) -> None:
        up = False
        try:
            self._facts = self._read()
            up = True
        except Exception as error:  # noqa: BLE001 - one source that fails must not take the other's series away
            _log.warning("exporter.source_down", source=self._name, exc_info=error)
        finally:
            self._state = SourceState(up=up, seconds=time.monotonic() - self._began)
            self._done.set()


class Source(Generic[T]):
    """One source of facts. Thread-safe.

    Args:
        name: As in `snapshot.SOURCES`.
        read: Asks it; may raise, and may hang.
        patience: Seconds that a reading may take.
    """

    def __init__(self, name: str, read: Callable[[], T], *, patience: float = PATIENCE_SECONDS) -> None:
        self.name = name
        self._read = read
        self._patience = patience
        self._lock = threading.Lock()
        self._latest: Reading[T] | None = None

    def begin(self) -> Callable[[], Answer[T]]:
        """Begin a reading, or join the one that is under way; call what is returned for its answer."""
        with self._lock:
            latest = self._latest
            if latest is None or not latest.under_way:
                latest = self._latest = Reading(self.name, self._read)
        return lambda: latest.wait(self._patience)
