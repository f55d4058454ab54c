"""A recurring job that never ran is asked for once, so that a new board shows life before the first cadence is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from callboard.dispatch import trigger
from callboard.errors import DuplicateRun
from callboard.job import all_jobs
from callboard.ledger import listing
from callboard.ledger.database import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from callboard.job import Job

_log = structlog.get_logger(__name__)


def ask_for_first_runs(*, by: str) -> list[str]:
    """Trigger every recurring job that has no run yet; returns their names, the most frequent first."""
    return [job.spec.name for job in sorted(_unrun(), key=_interval) if _asked(job, by)]


def _unrun() -> Iterator[Job[Any, Any]]:
    with transaction() as connection:
        for name, job in all_jobs().items():
            if job.spec.recurring and not listing.runs(connection, job=name, limit=1):
                yield job


def _interval(job: Job[Any, Any]) -> float:
    return job.spec.cadence.interval_seconds() if job.spec.cadence else 0.0


def _asked(job: Job[Any, Any], by: str) -> bool:
    try:
        trigger(job, by=by)
    except DuplicateRun:  # the scheduler was faster
        _log.info("first_run.already_there", job=job.spec.name)
        return False
    return True
