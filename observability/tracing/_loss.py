"""What was given up, by signal and reason."""

from __future__ import annotations

import threading


class Losses:
    """Totals since the process began; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str], int] = {}

    def add(self, signal: str, reason: str, number: int = 1) -> None:
        """So many more."""
        with self._lock:
            self._totals[signal, reason] = self._totals.get((signal, reason), 0) + number

    def totals(self) -> dict[tuple[str, str], int]:
        """A copy."""
        with self._lock:
            return dict(self._totals)


LOSSES = Losses()
