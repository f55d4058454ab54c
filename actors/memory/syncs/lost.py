"""Sync jobs in flight whose run is gone: cancelled before it began, or lost.

A job and its run are written in one transaction, so a job that can be seen and has no run is never to get one. The
engine tells nobody that a pending run was cancelled; whoever finds the job in the way asks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from actors.memory.syncs.job import run_sync_job
from callboard import DuplicateRun, outbox

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

_ABANDON = text("""
update memory.sync_jobs set status = 'CANCELLED', completed_at = :now,
    error = coalesce(error || '; ', '') || 'no run is left for it: cancelled, or lost'
where id = :id and status = 'PENDING'
""")


def reclaim(connection: Connection, job_id: UUID, now: datetime) -> bool:
    """Whether a job in flight has no run: one that was cut off gets another, one that never began is over.

    Sending the job anew answers the question: it is refused as long as the job has a run.
    """
    try:
        outbox.send(connection, run_sync_job, str(job_id))
    except DuplicateRun:
        return False
    connection.execute(_ABANDON, {"id": job_id, "now": now})
    return True
