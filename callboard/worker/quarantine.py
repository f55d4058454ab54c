"""A message that two workers died with may be what killed them: it runs alone in its process.

Nothing else begins there meanwhile, what lies ready goes back to other workers, and what runs already is waited for,
so that a third crash takes nobody along. A job that has ended runs on in this sense until that is written: a process
that dies before that takes it along, and a suspect that has done its work unharmed would count one crash more. All this
has an end: after half a minute the others go on beside it, since a message that has run for so long is mostly an
innocent one.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Once is mostly bad luck: a deployment, or a lack of memory.
SUSPECT_CRASHES = 2
_ALONE_SECONDS = 30.0
_LOOK_SECONDS = 0.005


class Quarantine:
    """The gate that all job threads of a process pass.

    A thread adds itself to `busy`, then looks at `closed`; a suspect closes the gate, then looks at `busy`. In this
    order one of them sees the other, and no lock is needed while nothing is suspect.

    Args:
        on_change: Told after the gate was closed or opened.
        written: Whether every attempt that has ended is written and settled.
    """

    def __init__(self, on_change: Callable[[], None], written: Callable[[], bool]) -> None:
        self.busy: set[str] = set()
        self.closed = False
        self._on_change = on_change
        self._written = written
        self._changed = threading.Condition(threading.Lock())
        self._taken = self._stopped = False
        self._opens_at = math.inf

    def enter(self) -> bool:
        """Close the gate and wait for those who run; False if a suspect runs already, or the worker stops."""
        with self._changed:
            if self._taken or self._stopped:
                return False
            self._taken = self.closed = True
            self._opens_at = math.inf
        self._on_change()
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self.busy, _ALONE_SECONDS)
        self._await_written()
        with self._changed:
            self._opens_at = time.monotonic() + _ALONE_SECONDS
        if self._stopped:
            self.leave()
        return not self._stopped

    def leave(self) -> None:
        """The suspect has ended; the others go on once that is written."""
        self._await_written()
        with self._changed:
            self._taken = False
            self._open()
        self._on_change()

    def _await_written(self) -> None:
        deadline = time.monotonic() + _ALONE_SECONDS
        while self.closed and not (self._stopped or self._written()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def look(self, now: float) -> None:
        """Open the gate once the suspect has run for long; asked again and again."""
        if not self.closed:
            return
        with self._changed:
            late = now >= self._opens_at
            if late:
                self._open()
        if late:
            self._on_change()

    def _open(self) -> None:
        self.closed = False
        self._changed.notify_all()

    def await_open(self) -> None:
        """Wait while the gate is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self.closed)

    def ended(self) -> None:
        """A thread has ended what it did while the gate was closed."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Let all go who wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
