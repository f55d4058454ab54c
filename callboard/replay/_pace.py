"""How fast letters are replayed: in large batches at full rate, or steadily in small ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGE = 500
#: Batches a second that a rate is split into, as far as whole letters allow.
_BEATS = 5
#: Seconds after which a wait looks whether it shall stop.
_SLICE = 0.2


class Pace:
    """A token bucket that holds one batch: what was not used in time is not made up for.

    Args:
        rate: Letters a second at most; None: as fast as it goes.
        sleep: How to wait.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        rate: float | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._sleep = sleep
        self._clock = clock
        self._next = clock()

    @property
    def size(self) -> int:
        """Letters in one batch."""
        return _LARGE if self._rate is None else max(1, min(_LARGE, int(self._rate / _BEATS)))

    def spend(self, letters: int) -> None:
        """Remember that so many were replayed, just now."""
        if self._rate is not None:
            self._next = max(self._next, self._clock()) + letters / self._rate

    def wait(self, stopped: Callable[[], bool]) -> bool:
        """Wait until the next batch may be taken; False if it shall not."""
        while not stopped():
            left = self._next - self._clock()
            if self._rate is None or left <= 0:
                return True
            self._sleep(min(left, _SLICE))
        return False
