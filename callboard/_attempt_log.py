"""The last lines that an attempt logged, bounded in number and in size."""

from __future__ import annotations

from collections import deque
from typing import Any

#: Characters that are kept of one line, and of all lines of an attempt; as Python spells them, roughly those of JSON.
LONGEST_LINE, LONGEST_LOG = 16_384, 65_536
_LONGEST_EVENT = 1_000


class AttemptLog:
    """Takes lines, and forgets the oldest ones. Not thread-safe: its lines come under the log handler's lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: deque[tuple[int, dict[str, Any]]] = deque()
        self._size = 0

    def add(self, line: dict[str, Any]) -> None:
        """Keep the line; of one that is too long, its fields go."""
        size = _size(line)
        if size > LONGEST_LINE:
            line = _shortened(line, size)
            size = _size(line)
        self._lines.append((size, line))
        self._size += size
        while len(self._lines) > self._most or self._size > LONGEST_LOG:
            self._size -= self._lines.popleft()[0]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What is kept, oldest first."""
        return [line for _, line in list(self._lines)]


def _size(line: dict[str, Any]) -> int:
    return len(repr(line))


def _shortened(line: dict[str, Any], size: int) -> dict[str, Any]:
    short = {name: line[name] for name in ("at", "level", "event", "logger", "error_type") if name in line}
    return short | {"event": str(short.get("event", ""))[:_LONGEST_EVENT], "left_out": f"{size} characters of fields"}
