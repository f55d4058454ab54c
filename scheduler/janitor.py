"""The janitor: month partitions ahead of time, old months and old ticks away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from callboard.ledger import partitions, schedules, workers
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_HOUR = 3600.0


class Janitor(Loop):
    """Keeps the ledger's size in bounds, once an hour."""

    def __init__(self, engine: Engine, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("janitor", _HOUR)
        self._engine = engine
        self._days = settings.retention_days
        self._leading = leading

    def _tick(self) -> None:
        if not self._leading():
            return
        with self._engine.begin() as connection:
            made = partitions.ensure(connection)
            dropped = partitions.prune(connection, older_than=timedelta(days=self._days))
            ticks = schedules.prune(connection, days=self._days)
            forgotten = workers.forget(connection)
        logger.info("ledger.tidied", made=made, dropped=dropped, ticks_deleted=ticks, workers_forgotten=forgotten)
