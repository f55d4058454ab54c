"""The retrier: runs failed runs again whose failure is likely to have passed. See `callboard.failure_retry`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import structlog

from callboard import failure_retry
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_IDLE_SECONDS = 60.0


class Retrier(Loop):
    """Sweeps while this process leads, every `failure_retry_seconds`; 0: never."""

    def __init__(self, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("retrier", settings.failure_retry_seconds or _IDLE_SECONDS)
        self._settings = settings
        self._leading = leading

    def _tick(self) -> None:
        chosen = self._settings
        if not (chosen.failure_retry_seconds and self._leading()):
            return
        results = failure_retry.sweep(
            chosen.failure_retry_limit, chosen.failure_retry_attempts, chosen.failure_retry_cooldown_seconds
        )
        if results:
            found: Counter[str] = Counter(result.result for result in results)
            numbers = {name: found[name] for name in ("retried", "skipped", "refused")}
            logger.info("failure_retry.swept", scanned=len(results), **numbers)
