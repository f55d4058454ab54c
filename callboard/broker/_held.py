"""Strays: messages that the server thinks this process holds, and this process does not know."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping


class Strays:
    """Finds them by two looks: unknown at both, with no fetch under way since the first: a reply was lost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[int] = set()
        self._serial = 0
        self._before: set[str] = set()
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
        """One look; `held` is asked unless `count`, what the server counts, is 0.

        To compare the counts would not do: what we know may have been taken over while we were frozen.
        """
        if not count:
            self._before = set()
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
