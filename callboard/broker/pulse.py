"""The pulse of a process: its lease in the broker, off the path of the jobs and of the fetches."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from callboard.broker.transport import Transport

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AFTER_ERROR_SECONDS = 0.5


class Pulse:
    """Calls `Transport.pulse` when it wants to be called, and earlier when a delayed message is due earlier."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._wake = threading.Condition()
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._failing = False

    def start(self) -> None:
        """Begin; the lease is there when this returns, if the broker answers."""
        if self._thread is None:
            self._stopping = False
            self._beat()
            self._transport.expect_pulse = self._expect
            self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; the lease is left to `Transport.leave`, or to run out."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _expect(self, seconds: float) -> None:
        moment = time.monotonic() + seconds
        if moment < self._next:
            with self._wake:
                self._next = min(self._next, moment)
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and (patience := self._next - time.monotonic()) > 0:
                    self._wake.wait(patience)
                if self._stopping:
                    return
            self._beat()

    def _beat(self) -> None:
        try:
            wait = self._transport.pulse(list(self._transport.known))
        except Exception as error:  # noqa: BLE001 - the lease must go on, whatever one call raises
            (logger.debug if self._failing else logger.warning)("broker.away", error=str(error).partition("\n")[0])
            self._failing, wait = True, _AFTER_ERROR_SECONDS
        else:
            if self._failing:
                logger.info("broker.back")
            self._failing = False
        self._next = time.monotonic() + wait
