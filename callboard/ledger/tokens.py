"""Fencing tokens for attempts that start without a row: drawn from the ledger's sequence a block at a time.

The sequence counts in steps of `BLOCK`, and a block is the numbers from one step up to the next. A start that is
written to the ledger takes a step of its own. So no two attempts ever share a token.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 100_000  # the increment of board.fencing_token; a draw waits for a commit, so that it is to be rare
NEXT = "nextval('board.fencing_token')"


class Tokens:
    """Hands out tokens. Thread-safe; the ledger is asked once in `BLOCK` calls."""

    def __init__(self, draw: Callable[[], int]) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._next = self._end = 0

    def take(self) -> int:
        """The next token; raises what `draw` raises when the block is used up and the ledger does not answer."""
        with self._lock:
            if self._next == self._end:
                self._next = self._draw()
                self._end = self._next + BLOCK
            token = self._next
            self._next += 1
            return token
