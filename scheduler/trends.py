"""The trends loop: counts by minute what the totals have grown by, for the console's charts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from callboard.ledger import trends
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

_SECONDS = 10.0


class Trends(Loop):
    """Samples the totals while this process leads."""

    def __init__(self, engine: Engine, leading: Callable[[], bool]) -> None:
        super().__init__("trends", _SECONDS)
        self._engine = engine
        self._leading = leading

    def _tick(self) -> None:
        if self._leading():
            with self._engine.begin() as connection:
                trends.sample(connection, datetime.now(UTC))
