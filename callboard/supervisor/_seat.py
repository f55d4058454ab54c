"""One worker process as its supervisor follows it, over all its lives."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from callboard.supervisor.page import State, StatusPage

if TYPE_CHECKING:
    from callboard.supervisor.page import Attempt

#: How long a fetch loop may stand still while a thread is free; importing the jobs may take longer.
STILL_SECONDS, STARTING_SECONDS = 60.0, 180.0
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


class _Stamp:
    """How long a number has not changed, in seconds that we were running ourselves."""

    def __init__(self) -> None:
        self._value = 0
        self._seconds = 0.0

    def still(self, value: int, seconds: float, *, excused: bool) -> float:
        """The number is `value` now, `seconds` after the last time; excused, the count begins anew."""
        self._seconds = 0.0 if excused or value != self._value else self._seconds + seconds
        self._value = value
        return self._seconds


class Seat:
    """A place for one worker process: its name, its page, and what was seen there last."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.page = StatusPage.shared(threads)
        self.convicted: list[Attempt] = []
        self.evidence: StatusPage | None = None
        self._overdue: list[Attempt] = []
        self.launched = 0.0
        self.launched_at = 0.0
        self._progress = _Stamp()
        self._breath = _Stamp()

    @property
    def working(self) -> bool:
        """Whether its process takes messages."""
        return self.page.state is State.WORKING

    def vacate(self) -> None:
        """Its process is dead: keep what the page says if somebody was convicted, and be ready for the next one."""
        if self.convicted and self.evidence is None:
            self.evidence = self.page.copy()
        self.page.clear()
        self.launched = time.monotonic()
        self.launched_at = time.time()
        self._overdue, self._progress, self._breath = [], _Stamp(), _Stamp()

    def overdue(self, now_ns: int) -> list[Attempt]:
        """Attempts past their hard deadline, seen so twice in a row.

        Twice, because the first look may come in the middle of a store, or after the whole machine was frozen: then
        the soft limit gets its chance first.
        """
        found = self.page.overdue(now_ns)
        certain = [attempt for attempt in found if attempt in self._overdue]
        self._overdue = found
        return certain

    def idles(self, seconds: float) -> bool:
        """Whether it has long taken nothing though it could; `seconds` have passed since this was last asked."""
        page = self.page
        starting = page.state is State.STARTING
        tells = starting or (page.state is State.WORKING and page.progress_ns != 0)
        excused = not tells or self._all_busy()
        return self._progress.still(page.progress_ns, seconds, excused=excused) >= (
            STARTING_SECONDS if starting else STILL_SECONDS
        )

    def frozen(self, seconds: float) -> float:
        """For how many seconds none of its threads but one has run; `seconds` as for `idles`."""
        breath = self.page.breath_ns
        return self._breath.still(breath, seconds, excused=breath == 0)

    def _all_busy(self) -> bool:
        return len(self.page.running()) == self.page.threads


def names(attempts: list[Attempt]) -> list[str]:
    """The ids of their runs, for people."""
    return [str(UUID(bytes=attempt.run_id)) for attempt in attempts]


def resident_mb(pid: int | None) -> float:
    """Memory that a process holds, in 10^6 bytes; 0 when it is gone, or where there is no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_SIZE / 1e6
    except (OSError, IndexError):
        return 0.0
