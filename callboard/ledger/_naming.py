"""Postgres is told for whom it works: each statement bears its job's name, each connection its run's advisory lock.

A comment with the run's id would make every statement unlike any other: the driver would never prepare it, and Postgres
would plan it anew each time. The job's name is always the same; the run's id is where it costs nothing, in the round
trip that looks whether a pooled connection still lives. `board.activity` reads it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

from callboard.run import peek_run

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import ConnectionPoolEntry

# Shared, so that a run may have several connections. What else the run before locked and forgot goes with its own; to
# give that back by name would leave a warning in the server's log where the run itself gave back all.
_GREET = """
select pg_advisory_unlock_all(), pg_try_advisory_lock_shared(hashtextextended('callboard.run ' || %s::text, 0))
"""
_ALIVE = "select 1"
_RUN = "callboard.run"


def name_runs(engine: Engine) -> None:
    """Greet each connection as it leaves the pool, instead of `pool_pre_ping`, and name the job of each statement."""
    event.listen(engine, "checkout", _greet)
    event.listen(engine, "before_cursor_execute", _comment, retval=True)


def _greet(connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _proxy: object) -> None:
    before, run = record.info.get(_RUN), _run_id()
    try:
        connection.autocommit = True
        if before == run:
            connection.execute(_ALIVE)
        else:
            connection.execute(_GREET, (run,))
        connection.autocommit = False
    except psycopg.Error as error:
        if connection.closed:
            raise InvalidatePoolError from error
        raise
    record.info[_RUN] = run


def _run_id() -> str | None:
    run = peek_run()
    return None if run is None or run.token == 0 else str(run.id)


def _comment(
    _connection: object,
    _cursor: object,
    statement: str,
    parameters: Any,  # noqa: ANN401 - whatever the statement takes
    _context: object,
    _many: bool,  # noqa: FBT001 - SQLAlchemy's signature
) -> tuple[str, Any]:
    run = peek_run()
    if run is None or run.token == 0:
        return statement, parameters
    return f"{statement} /*job='{run.job}'*/", parameters
