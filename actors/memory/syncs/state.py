"""The states of a sync job, each change a compare-and-set in a transaction of its own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from callboard import PermanentError, Postponed, transaction
from observability.redaction import redact_text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

#: The first attempt and three retries.
ATTEMPTS = 4
# An attempt that is cut off goes on. What is cut off so often kills its workers, and nobody else would ever stop it.
_MOST_STARTS = 30
_LONGEST_ERROR = 500
_WAIT_FOR_A_PLACE = 30.0

_TENANT = text("select tenant_id from memory.sync_jobs where id = :id")
_HOLD_TENANT = text("select pg_advisory_xact_lock(hashtextextended('memory.syncs:' || cast(:tenant as text), 0))")
_READ = text("""
select j.id, j.connection_id, j.type, j.status, j.cursor, j.pages, j.read_to_end, j.attempts, j.starts,
    j.failed_items, j.created_at,
    c.tenant_id, c.user_id, c.project_id, c.environment, c.provider, c.options, c.status as connection_status
from memory.sync_jobs j join memory.connections c on c.id = j.connection_id
where j.id = :id for no key update of j
""")
_OTHERS = text("select count(*) from memory.sync_jobs where tenant_id = :tenant and status = 'RUNNING' and id <> :id")
_START = text("""
update memory.sync_jobs set status = 'RUNNING', attempts = :attempts, starts = :starts,
    started_at = coalesce(started_at, :now), completed_at = null
where id = :id
""")
_END = text("""
update memory.sync_jobs set status = :status, completed_at = :now, error = :error
where id = :id and status = 'RUNNING' and starts = :starts
""")
_REFUSE = text("update memory.sync_jobs set status = :status, completed_at = :now, error = :error where id = :id")
_PUT_BACK = text("""
update memory.sync_jobs set status = 'PENDING', attempts = attempts - :uncounted, error = :error
where id = :id and status = 'RUNNING' and starts = :starts
""")
_START_OVER = text("""
update memory.sync_jobs set type = 'FULL', cursor = null, read_to_end = false
where id = :id and status = 'RUNNING' and starts = :starts
""")
_KEEP_CURSOR = text("update memory.connections set cursor = :cursor where id = :connection")
_CONNECT_AGAIN = text("update memory.connections set status = 'needs_reauth' where id = :connection")


class Lost(Exception):  # noqa: N818 - what happened to us
    """Somebody else has the job now, or has cancelled it: nothing more may be written."""


@dataclass(slots=True)
class Task:
    """A sync job that this run has, and the connection it is for; `cursor`, `pages` and what they tell move on.

    `starts` is what others are told apart by: whoever started it last has it.
    """

    id: UUID
    connection_id: UUID
    type: str
    cursor: str | None
    pages: int
    read_to_end: bool
    attempts: int
    starts: int
    failed_items: int
    created_at: datetime
    tenant_id: UUID
    user_id: UUID
    project_id: UUID | None
    environment: str
    provider: str
    options: dict[str, Any]

    @property
    def last_attempt(self) -> bool:
        """Whether a failure will be the end of it."""
        return self.attempts >= ATTEMPTS


def begin(job_id: UUID, now: datetime, *, limit: int, replayed: bool) -> Task | None:
    """Take the job; None where there is nothing to do: it is over, or its connection is gone or not active.

    A job that was cut off is RUNNING still, and is taken over; one that failed starts anew when it is replayed.

    Raises:
        Postponed: The tenant has `limit` others that run.
        PermanentError: It was cut off so often that it is given up on.
    """
    with transaction() as connection:
        tenant = connection.execute(_TENANT, {"id": job_id}).scalar()
        connection.execute(_HOLD_TENANT, {"tenant": tenant})
        row = connection.execute(_READ, {"id": job_id}).one_or_none()
        if row is None or not (row.status in ("PENDING", "RUNNING") or (row.status == "FAILED" and replayed)):
            return None
        refused = _refused(row)
        if refused is not None:
            connection.execute(_REFUSE, {"id": job_id, "now": now, "status": refused[0], "error": refused[1]})
        elif connection.execute(_OTHERS, {"tenant": tenant, "id": job_id}).scalar_one() >= limit:
            raise Postponed(_WAIT_FOR_A_PLACE, "too many concurrent syncs")
        else:
            return _started(connection, row, now)
    if refused[0] == "FAILED":
        raise PermanentError(refused[1])
    return None


def _refused(row: Any) -> tuple[str, str] | None:  # noqa: ANN401 - a row of _READ
    if row.connection_status != "active":
        return "CANCELLED", f"the connection is {row.connection_status}"
    if row.status != "FAILED" and row.starts >= _MOST_STARTS:
        return "FAILED", f"cut off {row.starts} times"
    return None


def _started(connection: Connection, row: Any, now: datetime) -> Task | None:  # noqa: ANN401 - a row of _READ
    counted = {"PENDING": row.attempts + 1, "RUNNING": row.attempts, "FAILED": 1}
    changes = {"attempts": counted[row.status], "starts": 1 if row.status == "FAILED" else row.starts + 1}
    try:
        with connection.begin_nested():
            connection.execute(_START, {"id": row.id, "now": now, **changes})
    except IntegrityError:  # a replay, while a newer job of the connection is under way
        return None
    columns = {name: getattr(row, name) for name in Task.__slots__}
    return Task(**(columns | changes))


def complete(task: Task, now: datetime, note: str | None) -> None:
    """All pages are in: the job is over, and the connection goes on from here.

    Raises:
        Lost: Somebody else has it.
    """
    with transaction() as connection:
        _end(connection, task, "COMPLETED", now, note)
        connection.execute(_KEEP_CURSOR, {"connection": task.connection_id, "cursor": task.cursor})


def cancel(task: Task, now: datetime) -> None:
    """Somebody asked for it; the connection's cursor stays."""
    with suppress(Lost), transaction() as connection:
        _end(connection, task, "CANCELLED", now, "cancelled")


def fail(task: Task, now: datetime, error: str, *, reconnect: bool = False) -> None:
    """It is given up on; `reconnect`: and so are the tokens, until the user connects again."""
    with suppress(Lost), transaction() as connection:
        _end(connection, task, "FAILED", now, error)
        if reconnect:
            connection.execute(_CONNECT_AGAIN, {"connection": task.connection_id})


def put_back(task: Task, error: str, *, counted: bool) -> None:
    """It waits for its next attempt; one that was no fault of the job is not counted."""
    uncounted = 0 if counted else 1
    with transaction() as connection:
        given = {"id": task.id, "starts": task.starts, "uncounted": uncounted, "error": shown(error)}
        connection.execute(_PUT_BACK, given)


def start_over(task: Task) -> None:
    """Read everything anew.

    Raises:
        Lost: Somebody else has it.
    """
    with transaction() as connection:
        if connection.execute(_START_OVER, {"id": task.id, "starts": task.starts}).rowcount == 0:
            raise Lost
    task.type, task.cursor = "FULL", None


def shown(error: str) -> str:
    """An error as it may be kept: without secrets, on one line, of some length."""
    return " ".join(redact_text(error.replace("\x00", "")).split())[:_LONGEST_ERROR]


def _end(connection: Connection, task: Task, status: str, now: datetime, error: str | None) -> None:
    given = {"id": task.id, "starts": task.starts, "status": status, "now": now}
    if connection.execute(_END, {**given, "error": None if error is None else shown(error)}).rowcount == 0:
        raise Lost
