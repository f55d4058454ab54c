"""Actor modules, jobs, cadences and queues."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from callboard import bulk_replay
from callboard.errors import DeclarationError
from callboard.job import all_jobs
from callboard.ledger import schedules, workers
from callboard.ledger.database import transaction
from callboard.ledger.outgoing import QUEUE
from callboard.loading import load_module
from cli.check._finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "jobs"


def modules(settings: Settings) -> Iterator[Finding]:
    """Each actor module by itself: one that cannot be loaded does not hide the next."""
    if not settings.actors:
        yield error(_NAME, "CALLBOARD_ACTORS is empty: there is nothing to run", "name the actor modules in it.")
    for name in settings.actors:
        try:
            load_module(name)
        except DeclarationError as failure:
            what, _, mend = str(failure).partition(";")
            yield error(_NAME, what.strip().rstrip("."), mend.strip() or f"mend {name}, and check again.")
        else:
            yield _loaded(name)
    yield from _cadences()


def _loaded(name: str) -> Finding:
    declared = [job.spec.name for job in all_jobs().values() if f"{job.spec.fn.__module__}.".startswith(f"{name}.")]
    if not declared:
        return warning(
            _NAME, f"{name} declares no job", "take it out of CALLBOARD_ACTORS, or decorate its jobs with @job."
        )
    return ok(_NAME, f"{name} declares {', '.join(declared)}")


def _cadences() -> Iterator[Finding]:
    """What the scheduler is going to ask of each cadence; a malformed one was refused when its module was loaded."""
    now, recurring = datetime.now(UTC), 0
    for name, job in all_jobs().items():
        cadence = job.spec.cadence
        if cadence is None:
            continue
        recurring += 1
        fires = cadence.after(now)
        if cadence.after(fires) <= fires:
            yield error(_NAME, f"the cadence {cadence} of {name} stands still", "write it with cron() or every().")
    yield ok(_NAME, f"{recurring} cadences, each fires again")


def queues(settings: Settings) -> Iterator[Finding]:
    """Queues that nobody works on, by the workers that live, or by the settings while none does."""
    declared = {job.spec.queue for job in all_jobs().values()}
    for queue in settings.queues:
        if queue not in declared | {QUEUE, bulk_replay.QUEUE}:
            close = difflib.get_close_matches(queue, declared, 1)
            mend = f"did you mean {close[0]}?" if close else f"queues are {', '.join(sorted(declared)) or 'none'}."
            yield error(_NAME, f"CALLBOARD_QUEUES names the queue {queue!r}, which no job declares", mend)
    worked_on = consumed() or set(settings.queues)
    working = worked_on or declared
    for queue in sorted(declared - working):
        jobs = ", ".join(name for name, job in all_jobs().items() if job.spec.queue == queue)
        mend = f"start a worker for it: callboard worker --queue {queue}; or leave CALLBOARD_QUEUES empty."
        yield warning(_NAME, f"nobody works on the queue {queue!r} ({jobs})", mend)
    if declared and declared <= working:
        yield ok(_NAME, f"every queue is worked on: {', '.join(sorted(declared))}")
    if worked_on and bulk_replay.QUEUE not in worked_on:
        mend = f"start a worker for it: callboard worker --queue {bulk_replay.QUEUE}."
        yield warning(_NAME, f"nobody works on the queue {bulk_replay.QUEUE!r}: bulk replays only wait", mend)
    yield from _paused()


def consumed() -> set[str]:
    """Queues of the workers that live; empty when none does, or when the ledger cannot say."""
    try:
        with transaction() as connection:
            now = datetime.now(UTC)
            return {queue for row in workers.listing(connection) if row["lease_until"] > now for queue in row["queues"]}
    except (SQLAlchemyError, LookupError):  # the database's own check tells of it
        return set()


def _paused() -> Iterator[Finding]:
    try:
        with transaction() as connection:
            rows = _paused_rows(connection)
    except (SQLAlchemyError, LookupError):  # the database's own check tells of it
        return
    for job, by, since in rows:
        mend = f"callboard schedules resume {job} lets it fire again."
        yield warning(_NAME, f"the schedule {job} is paused since {since:%Y-%m-%d %H:%M} UTC by {by}", mend)


def _paused_rows(connection: Connection) -> list[tuple[str, str, datetime]]:
    return [
        (row["job"], row["paused_by"], row["paused_at"])
        for row in schedules.listing(connection)
        if row["paused_at"] is not None
    ]
