"""One dependency asked in a thread of its own: one that hangs holds one thread, however often it is asked."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from observability.redaction import redact_text

if TYPE_CHECKING:
    from callboard.health import HealthCheck

_LONGEST_TEXT = 160
_SLICE_SECONDS = 0.1


class Probe:
    """Asks, and waits for the answer no longer than its check's patience, or until `stop`."""

    def __init__(self, check: HealthCheck, stop: threading.Event) -> None:
        self.check = check
        self._stop = stop
        self._thread: threading.Thread | None = None
        self._began = 0.0
        self._problem: str | None = None

    def begin(self) -> None:
        """Ask, unless the last question has no answer yet."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._began, self._problem = time.monotonic(), None
        self._thread = threading.Thread(target=self._ask, name=f"health-{self.check.name}", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self.check.fn()
        except BaseException as error:  # noqa: BLE001 - whatever a check raises is its answer
            told = redact_text(str(error).partition("\n")[0])[:_LONGEST_TEXT]
            self._problem = f"{type(error).__name__}: {told}" if told else type(error).__name__

    def answer(self) -> str | None:
        """What is wrong, in words; None if nothing is."""
        if self._thread is None:
            return None
        deadline = self._began + self.check.patience
        while self._thread.is_alive() and not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            self._thread.join(min(left, _SLICE_SECONDS))
        if self._thread.is_alive():
            return f"no answer within {self.check.patience:g} s"
        return self._problem
