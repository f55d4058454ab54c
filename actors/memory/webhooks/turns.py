"""When a delivery that found no free slot at its endpoint comes back.

If all that wait came back after the same second, a thousand of them would keep the workers busy with asking, and the
other endpoints would wait for that. So each gets a turn of its own: they are as far apart as deliveries to the endpoint
take, divided by its slots. A process plans the turns of its own messages only; with several, some come in vain and are
given another.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

_MOST_ENDPOINTS = 4096
_SOONEST_SECONDS, _LATEST_SECONDS = 0.3, 120.0
# Before the first answer it is not known whether there will be one.
_UNKNOWN_SECONDS = 0.25
_WEIGHT = 0.2


@dataclass(slots=True)
class _Endpoint:
    latency: float = _UNKNOWN_SECONDS
    slots: int = 1
    full_until: float = 0.0
    taken_until: float = 0.0


class Turns:
    """Of the endpoints that this process called last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._endpoints: OrderedDict[object, _Endpoint] = OrderedDict()

    def took(self, endpoint: object, seconds: float) -> None:
        """A delivery to it took so long."""
        with self._lock:
            known = self._of(endpoint)
            known.latency += _WEIGHT * (seconds - known.latency)

    def full(self, endpoint: object, slots: int) -> float:
        """All its slots were taken just now. Returns the seconds until the next free turn, which is taken by asking."""
        now = time.monotonic()
        with self._lock:
            known = self._of(endpoint)
            known.slots = slots
            known.full_until = now + known.latency / slots
            return _next(known, now)

    def wait(self, endpoint: object) -> float | None:
        """As `full`, while no slot can be expected to be free again; None: ask for one."""
        now = time.monotonic()
        with self._lock:
            known = self._of(endpoint)
            return _next(known, now) if now < known.full_until else None

    def _of(self, endpoint: object) -> _Endpoint:
        known = self._endpoints.setdefault(endpoint, _Endpoint())
        self._endpoints.move_to_end(endpoint)
        if len(self._endpoints) > _MOST_ENDPOINTS:
            self._endpoints.popitem(last=False)
        return known


def _next(known: _Endpoint, now: float) -> float:
    known.taken_until = max(known.taken_until, now) + known.latency / known.slots
    turn = known.taken_until - now
    if turn > _LATEST_SECONDS:
        return random.uniform(_LATEST_SECONDS / 2, _LATEST_SECONDS)  # noqa: S311 - spread
    return max(turn, random.uniform(_SOONEST_SECONDS, 2 * _SOONEST_SECONDS))  # noqa: S311 - spread


turns = Turns()
