"""The janitor: month partitions ahead of time, away with what the settings call old, and quiet issues are resolved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from callboard import accounts, news
from callboard.ledger import issues, partitions, retention, schedules, trends, workers
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
        self._audit_days = settings.audit_retention_days
        self._trend_days = settings.trend_retention_days
        self._quiet_days = settings.issue_quiet_days
        self._leading = leading

    def _tick(self) -> None:
        if not self._leading():
            return
        with self._engine.begin() as connection:
            made = partitions.ensure(connection)
            dropped = partitions.prune(connection, older_than=timedelta(days=self._days))
            ticks = schedules.prune(connection, days=self._days)
            forgotten = workers.forget(connection)
            minutes = trends.prune(connection, days=self._trend_days)
            signs = accounts.prune(connection)
        self._settle()
        rows = {table: self._prune(table) for table in retention.TABLES}
        rows |= {"ticks": ticks, "workers": forgotten, "trends": minutes, "sign_ins": signs}
        logger.info("ledger.tidied", made=made, dropped=dropped, deleted={k: v for k, v in rows.items() if v})

    def _settle(self) -> None:
        if not self._quiet_days:
            return
        with self._engine.begin() as connection:
            found = issues.settle(connection, days=self._quiet_days, now=datetime.now(UTC), by=self.name)
            if found:
                projects = {project or news.SYSTEM for project in found}
                news.tell(connection, "issues_changed", "job_failures_changed", project_ids=projects)
                logger.info("issues.settled", issues=len(found), days=self._quiet_days)

    def _prune(self, table: str) -> int:
        """Delete batch by batch, each in a transaction of its own."""
        days, total = self._audit_days if table == "audit" else self._days, 0
        while not self._stop.is_set():
            with self._engine.begin() as connection:
                gone = retention.prune(connection, table, days=days)
            total += gone
            if not gone:
                break
        return total
