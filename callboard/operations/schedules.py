"""Pause a schedule, resume it, and run its job now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.errors import NotFound
from callboard.ledger import schedules
from callboard.ledger.database import transaction
from callboard.operations import runs
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from callboard.ledger.facts import RunFacts
    from callboard.operations._audit import Who


def pause(job: str, *, who: Who, why: str = "") -> None:
    """Stop a schedule from firing; what runs already goes on, and what is due meanwhile is skipped.

    Raises:
        NotFound: No schedule is called so.
    """
    with transaction() as connection:
        _require(job, known=schedules.pause(connection, job, by=who.name))
        audit(connection, who, "schedule.pause", ("schedule", job), why=why)


def resume(job: str, *, who: Who, why: str = "") -> None:
    """Let a paused schedule fire again; what it has missed is not made up for.

    Raises:
        NotFound: No schedule is called so.
    """
    with transaction() as connection:
        _require(job, known=schedules.resume(connection, job))
        audit(connection, who, "schedule.resume", ("schedule", job), why=why)


def run_now(job: str, *, who: Who, why: str = "") -> RunFacts:
    """Ask for a run of a recurring job beside its schedule; paused or not.

    Raises:
        NotFound: No loaded module declares the job.
        DuplicateRun: A run is already pending or running.
    """
    return runs.trigger(job, who=who, why=why)


def _require(job: str, *, known: bool) -> None:
    if not known:
        raise NotFound(f"No schedule is called {job!r}; `callboard schedules` lists them.")
