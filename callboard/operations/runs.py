"""Ask for runs, and cancel them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import select, text

from callboard import cancel as cancelling
from callboard import dispatch
from callboard.errors import NotFound
from callboard.job import get_job
from callboard.ledger import outgoing, tables
from callboard.ledger.database import transaction
from callboard.operations._audit import audit
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.filters import Filter
    from callboard.job import Job
    from callboard.ledger.facts import RunFacts
    from callboard.operations._audit import Who


_RUNS = tables.runs.c
_SEEN = text("""
select exists(select from board.runs where job = :job) or exists(select from board.schedules where job = :job)
""")


@dataclass(frozen=True, slots=True)
class CancelTally:
    """How many runs had not started and are over now, and how many run and were asked to stop."""

    cancelled: int
    requested: int
    has_more: bool


def trigger(
    job: str,
    kwargs: Mapping[str, Any] | None = None,
    *,
    who: Who,
    why: str = "",
    notify: tuple[str, ...] = (),
) -> RunFacts:
    """Ask for a run of a job now; the message leaves after the commit.

    Args:
        job: Its name.
        kwargs: Its arguments, by name.
        who: Who asks; the run's trigger.
        why: The reason that was given.
        notify: Mail addresses to tell when it is done.

    Raises:
        NotFound: No loaded module declares such a job; if the board has seen it, the message names CALLBOARD_ACTORS.
        ArgumentsError: The arguments do not fit the job's signature.
        DuplicateRun: The job is single, and a run is already pending or running; nothing was started.
        ConnectionClosed: The broker is away; the run is in the ledger, and the scheduler will send it.
    """
    declared = _declared(job)
    given = dict(kwargs or {})

    def note(connection: Connection, facts: RunFacts) -> None:
        detail = {"job": job, "args": given}
        audit(connection, who, "run.trigger", ("run", facts.id), why=why, detail=detail)

    return dispatch.trigger(declared, kwargs=given, by=who.name, notify=notify, also=note)


def _declared(job: str) -> Job[Any, Any]:
    try:
        return get_job(job)
    except NotFound:
        with transaction() as connection:
            seen = connection.execute(_SEEN, {"job": job}).scalar_one()
        if not seen:
            raise
        loaded = ",".join(get_settings().actors) or "empty"
        raise NotFound(
            f"The board knows job {job!r}, but no module loaded here declares it: add its module to CALLBOARD_ACTORS, "
            f"which is {loaded}."
        ) from None


def cancel(run_id: UUID, *, who: Who, why: str = "") -> Literal["cancelled", "requested"]:
    """Cancel a run: `cancelled` for a pending one, over now; `requested` for a running one, which hears of it.

    Raises:
        NotFound: No run of that id is pending or running.
    """
    with transaction() as connection:
        answer = cancelling.within(connection, run_id, by=who.name)
        audit(connection, who, "run.cancel", ("run", run_id), why=why, detail={"answer": answer})
    outgoing.leave()
    return answer


def cancel_many(chosen: Filter, *, who: Who, why: str = "", limit: int = 1000) -> CancelTally:
    """Cancel the pending and running runs that a filter matches, oldest first, `limit` at most.

    One transaction for each: a worker never waits for the whole, and what was cancelled stays so if the rest fails.
    """
    told = {"cancelled": 0, "requested": 0}
    found = _cancellable(chosen, limit + 1)
    for run_id in found[:limit]:
        with suppress(NotFound):  # it has ended meanwhile
            told[cancel(run_id, who=who, why=why)] += 1
    return CancelTally(**told, has_more=len(found) > limit)


def _cancellable(chosen: Filter, limit: int) -> Sequence[UUID]:
    """Who was asked to stop already is not asked again, so that asking anew reaches the rest."""
    open_ones = _RUNS.state.in_(("pending", "running")) & _RUNS.cancel_requested_at.is_(None)
    query = select(_RUNS.id).where(open_ones, *chosen.where()).order_by(_RUNS.created_at, _RUNS.id).limit(limit)
    with transaction() as connection:
        return connection.execute(query).scalars().all()
