"""The lifecycle of background loops."""

from __future__ import annotations

import threading

from callboard.loops import Loop
from tests.support import eventually


class Counter(Loop):
    def __init__(self, fail_first: int = 0) -> None:
        super().__init__("counter", 0.001)
        self.rounds = 0
        self.last = 0
        self.threads: set[int] = set()
        self._fail_first = fail_first

    def _tick(self) -> None:
        self.rounds += 1
        self.threads.add(threading.get_ident())
        if self.rounds <= self._fail_first:
            raise ConnectionError("away")

    def _last(self) -> None:
        self.last += 1


def test_it_ticks_until_it_is_stopped_and_bears_every_call_twice() -> None:
    loop = Counter()
    loop.stop()
    loop.start()
    loop.start()
    eventually(lambda: loop.rounds > 3)
    loop.stop()
    loop.stop()
    seen = loop.rounds
    assert (loop.last, len(loop.threads)) == (1, 1)
    loop.start()
    eventually(lambda: loop.rounds > seen)
    loop.stop()
    assert loop.last == 2


def test_an_error_in_one_round_does_not_end_it() -> None:
    loop = Counter(fail_first=3)
    loop.start()
    eventually(lambda: loop.rounds > 5)
    loop.stop()
    assert loop.last == 1
