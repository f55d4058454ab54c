"""One lifecycle for every background loop."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import structlog

from callboard.failures import Kind, classify

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Loop(ABC):
    """A thread that calls `_tick` every `seconds`; an error in one tick is logged and the next one comes all the same.

    `start` and `stop` may be called twice, and `stop` before `start`.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    def start(self) -> None:
        """Begin ticking; the first tick comes at once."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the tick that is under way."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.is_set():
            self.tick()
            self._stop.wait(self.seconds)
        self._last()

    def tick(self) -> None:
        """Do one round now, in the caller's thread; an outage is logged once, not once a round."""
        try:
            self._tick()
        except Exception as error:  # noqa: BLE001 - a loop outlives whatever its round raises
            self._tell(error)
            self._failing = True
        else:
            if self._failing:
                logger.info("loop.recovered", loop=self.name)
            self._failing = False

    def _tell(self, error: Exception) -> None:
        report = logger.debug if self._failing else logger.warning
        unexpected = classify(error).kind is not Kind.TRANSIENT  # an outage needs no stack, a mistake does
        report("loop.failed", loop=self.name, error=str(error).partition("\n")[0], exc_info=unexpected)

    @abstractmethod
    def _tick(self) -> None:
        """One round of work."""

    def _last(self) -> None:  # noqa: B027 - optional
        """What to do once, after the last round."""
