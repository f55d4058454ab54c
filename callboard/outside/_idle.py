"""Connections that wait for the next request to the same place: to open one costs more than the request."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from callboard.outside._wire import Place, Wire

#: Servers hang up after 5 to 75 seconds; what was closed meanwhile is noticed before it is used.
_LONGEST_SECONDS = 15.0
_MOST = 64


class _Waiting(NamedTuple):
    since: float
    wire: Wire


class Idle:
    """At most `_MOST`, the one that was used last is taken first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()

    def take(self, place: Place) -> Wire | None:
        """An open connection to a place, if one waits."""
        while (wire := self._pop(place)) is not None:
            if wire.is_quiet():
                return wire
            wire.hang_up()
        return None

    def put(self, wire: Wire) -> None:
        """Let it wait."""
        with self._lock:
            self._waiting.append(_Waiting(time.monotonic(), wire))
            old = self._overdue()
        for each in old:
            each.hang_up()

    def close(self) -> None:
        """Close all that wait."""
        with self._lock:
            old, self._waiting = self._waiting, deque()
        for each in old:
            each.wire.hang_up()

    def _pop(self, place: Place) -> Wire | None:
        with self._lock:
            for at in range(len(self._waiting) - 1, -1, -1):
                if self._waiting[at].wire.place == place:
                    wire = self._waiting[at].wire
                    del self._waiting[at]
                    return wire
        return None

    def _overdue(self) -> list[Wire]:
        old: list[Wire] = []
        limit = time.monotonic() - _LONGEST_SECONDS
        while len(self._waiting) > _MOST or (self._waiting and self._waiting[0].since < limit):
            old.append(self._waiting.popleft().wire)
        return old


idle = Idle()


def close_idle() -> None:
    """Close the connections that this process keeps open for later requests."""
    idle.close()
