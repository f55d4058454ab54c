"""The file that every job appends a record to: who ran when, and whether each ran exactly once."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bench.entrants import SHARED

if TYPE_CHECKING:
    from pathlib import Path

sys.path.append(str(SHARED))  # counter.py stands alone there, for the peers

from counter import RECORD  # type: ignore[import-not-found]

__all__ = ["RECORD", "Mark", "Tally", "verdict"]


class Mark(NamedTuple):
    """One start of a job; `at` in seconds of CLOCK_MONOTONIC."""

    at: float
    tag: int
    pid: int


class Tally:
    """Reads the counter file of one trial; it may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def count(self) -> int:
        """How many records there are: one look at the file's size."""
        try:
            return int(self.path.stat().st_size // RECORD.size)
        except FileNotFoundError:
            return 0

    def marks(self, *, least: int = 0) -> list[Mark]:
        """All records with a tag of at least `least`, by time; warm-up jobs have negative tags."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = len(content) - len(content) % RECORD.size
        return sorted(
            mark for mark in (Mark(*each) for each in RECORD.iter_unpack(content[:whole])) if mark.tag >= least
        )


def verdict(marks: list[Mark], count: int) -> dict[str, int]:
    """How many of the tags 0 to count - 1 never ran, ran again, or are strange; all zero in a sound trial."""
    seen = Counter(mark.tag for mark in marks)
    return {
        "lost": sum(tag not in seen for tag in range(count)),
        "twice": sum(number - 1 for number in seen.values()),
        "strange": sum(not 0 <= tag < count for tag in seen),
    }
