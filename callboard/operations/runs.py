"""Ask for runs, and cancel them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from callboard import cancel as cancelling
from callboard import dispatch
from callboard.job import get_job
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy import Connection

    from callboard.ledger.facts import RunFacts
    from callboard.operations._audit import Who


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
        NotFound: No loaded module declares such a job.
        ArgumentsError: The arguments do not fit the job's signature.
        DuplicateRun: The job is single, and a run is already pending or running; nothing was started.
        ConnectionClosed: The broker is away; the run is in the ledger, and the scheduler will send it.
    """
    declared = get_job(job)
    given = dict(kwargs or {})

    def note(connection: Connection, facts: RunFacts) -> None:
        detail = {"job": job, "args": given}
        audit(connection, who, "run.trigger", ("run", facts.id), why=why, detail=detail)

    return dispatch.trigger(declared, kwargs=given, by=who.name, notify=notify, also=note)


def cancel(run_id: UUID, *, who: Who, why: str = "") -> Literal["cancelled", "requested"]:
    """Cancel a run: `cancelled` for a pending one, over now; `requested` for a running one, which hears of it.

    Raises:
        NotFound: No run of that id is pending or running.
    """
    with transaction() as connection:
        answer = cancelling.within(connection, run_id, by=who.name)
        audit(connection, who, "run.cancel", ("run", run_id), why=why, detail={"answer": answer})
    return answer
