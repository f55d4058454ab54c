"""A recurring job that never ran is asked for once, so that a new board shows life before the first cadence is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from callboard.dispatch import trigger
from callboard.errors import DuplicateRun
from callboard.filters import parse
from callboard.job import all_jobs
from callboard.ledger import listing, pages
from callboard.ledger.database import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from callboard.job import Job

_log = structlog.get_logger(__name__)
_OPEN = ("pending", "running")


class FirstRuns:
    """Asks for one run at a time, the most frequent job first: what that one collects, the next ones work on."""

    def __init__(self, *, by: str) -> None:
        self._by = by
        self._left: list[Job[Any, Any]] | None = None
        self._asked: UUID | None = None

    def advance(self) -> None:
        """Ask for the next one if the last one has ended."""
        if self._left is None:
            recurring = [job for job in all_jobs().values() if job.spec.recurring]
            self._left = sorted(recurring, key=_interval, reverse=True)
        if self._left and not self._busy():
            self._ask(self._left.pop())

    def _busy(self) -> bool:
        if self._asked is None:
            return False
        with transaction() as connection:
            return listing.run(connection, str(self._asked))["state"] in _OPEN

    def _ask(self, job: Job[Any, Any]) -> None:
        with transaction() as connection:
            if pages.page(connection, parse("", "runs").and_("job", job.spec.name), limit=1).rows:
                return
        try:
            self._asked = trigger(job, by=self._by).id
        except DuplicateRun as error:  # the scheduler was faster
            _log.info("first_run.already_there", job=job.spec.name)
            self._asked = error.existing


def _interval(job: Job[Any, Any]) -> float:
    return job.spec.cadence.interval_seconds() if job.spec.cadence else 0.0
