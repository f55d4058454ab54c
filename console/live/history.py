"""The last news by number, so that whoever comes back hears what they have missed."""

from __future__ import annotations

import secrets
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from callboard.news import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.news import News

#: At two a second from each worker process, minutes.
KEPT: Final = 2048


class History:
    """Numbered news. A position is `<boot>-<number>`; another process has another boot."""

    def __init__(self, kept: int = KEPT) -> None:
        self._boot = secrets.token_hex(4)
        self._kept: deque[News] = deque(maxlen=kept)
        self.number = 0

    def add(self, news: News) -> int:
        """Keep it; its number."""
        self.number += 1
        self._kept.append(news)
        return self.number

    def position(self, number: int) -> str:
        """What a listener that has heard everything up to this number may come back with."""
        return f"{self._boot}-{number}"

    def since(self, position: str) -> Iterator[tuple[int, News]]:
        """What came after a position; everything at once if that is not known here, or is too long ago."""
        boot, _, digits = position.rpartition("-")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else -1  # noqa: PLR2004 - of a number we gave out
        oldest = self.number - len(self._kept)
        if boot != self._boot or not oldest <= number <= self.number:
            yield self.number, EVERYTHING
            return
        yield from enumerate(islice(self._kept, number - oldest, None), start=number + 1)
