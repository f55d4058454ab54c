"""Strays: messages that the server thinks this process holds, and this process does not know."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping


# Every so many pulses the lists are compared even if the counts agree.
_EVERY = 5


class Strays:
    """Finds them by two looks: unknown at both, with no fetch under way since the first: a reply was lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[int] = set()
        self._serial = 0
        self._before: set[str] = set()
        self._looks = 0
        self._called_before: set[int] = set()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """While a fetch is under way; its reply may still come."""
        with self._lock:
            self._serial += 1
            serial = self._serial
            self._calls.add(serial)
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(serial)

    def compare(
        self,
        known: Collection[str],
        count: int,
        held: Callable[[], dict[str, str]],
        give_back: Callable[[Mapping[str, str]], None],
    ) -> None:
        """One look; `held` is asked if `count`, what the server counts, is more than what is known, and now and then.

        For what we know may have been taken over while we were frozen, and then hide a stray in the count.
        """
        self._looks += 1
        looking = count > len(known) or bool(self._before) or (count > 0 and self._looks % _EVERY == 0)
        if not looking:
            return
        on_server, ours = held(), set(known)
        unknown = set(on_server) - ours
        with self._lock:
            pending = self._calls & self._called_before
            self._called_before = set(self._calls)
        strays = {name: on_server[name] for name in unknown & self._before} if not pending else {}
        self._before = unknown - set(strays)
        if strays:
            give_back(strays)
