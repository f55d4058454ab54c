"""Postgres: reachable, migrated, writable, with enough connections and the same idea of the time."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from callboard.ledger import migrate
from callboard.ledger.database import database_url
from cli.check._finding import error, nowhere, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from callboard.settings import Settings
    from cli.check._finding import Finding

_NAME = "database"
_OLDEST_VERSION = 14
_SKEW_SECONDS, _BAD_SKEW_SECONDS = 1.0, 30.0
#: What a worker process keeps beyond a connection for each thread: two for the heart, two in a rush; and the others'.
_WORKER_EXTRA, _OTHERS = 4, 14
_SETTINGS = text("""
select current_setting('server_version_num')::int / 10000 as version,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as connections,
       current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
       current_setting('full_page_writes') as full_page_writes, pg_is_in_recovery() as standby,
       has_database_privilege(current_database(), 'CREATE') as may_create, clock_timestamp() as now
""")


def checks(settings: Settings) -> Iterator[Finding]:
    """Everything about Postgres, as far as it answers."""
    try:
        url = database_url(settings)
    except LookupError as failure:
        yield nowhere(_NAME, failure, is_set=settings.database_url is not None)
        return
    try:
        with closing(
            create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5}).connect()
        ) as connection:
            before = datetime.now(UTC)
            row = connection.execute(_SETTINGS).mappings().one()
    except (SQLAlchemyError, psycopg.Error, ArgumentError, ModuleNotFoundError) as failure:
        yield _unreachable(url, failure)
        return
    yield ok(_NAME, f"Postgres {row['version']} answers at {_shown(url)}")
    yield from _server(row)
    yield _skew((row["now"] - before).total_seconds())
    yield _connections(settings, row["connections"])
    yield _revision(url)


def _shown(url: str) -> str:
    """Where it is, without the password."""
    parts = make_url(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.host or parts.query.get('host', 'its socket')}{port}/{parts.database}"


def _unreachable(url: str, failure: Exception) -> Finding:
    reason = (str(getattr(failure, "orig", None) or failure).strip().splitlines() or [type(failure).__name__])[0]
    try:
        place = _shown(url)
    except ArgumentError:
        place = "CALLBOARD_DATABASE_URL"
    mend = "see that it runs, and that CALLBOARD_DATABASE_URL is like postgresql://user:password@host:5432/name."
    return error(_NAME, f"Postgres does not answer at {place}: {reason}", mend)


def _server(row: Mapping[Any, Any]) -> Iterator[Finding]:
    if row["version"] < _OLDEST_VERSION:
        yield error(_NAME, f"Postgres {row['version']} is too old", f"take version {_OLDEST_VERSION} or newer.")
    if row["encoding"] != "UTF8":
        yield error(_NAME, f"the encoding is {row['encoding']}", "create the database with encoding UTF8.")
    if row["standby"]:
        yield error(_NAME, "this server is a read-only standby", "point CALLBOARD_DATABASE_URL at the primary.")
    if not row["may_create"]:
        yield warning(
            _NAME, "the user may not create schemas", "migrate as another user, or grant CREATE on the database."
        )
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            yield error(_NAME, f"{name} is {row[name]}: a crash of the server loses runs", f"set {name} = on.")


def _skew(seconds: float) -> Finding:
    if abs(seconds) < _SKEW_SECONDS:
        return ok(_NAME, "its clock and this machine's agree")
    mend = "run NTP on both: cadences follow this machine's clock, leases the database's."
    what = f"its clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's"
    return (error if abs(seconds) > _BAD_SKEW_SECONDS else warning)(_NAME, what, mend)


def _connections(settings: Settings, available: int) -> Finding:
    """Whether the pools of one machine's processes, all full, fit into the server; a second machine needs as many."""
    wanted = settings.worker_processes * (settings.worker_threads + _WORKER_EXTRA) + _OTHERS
    sizes = f"{settings.worker_processes} worker processes of {settings.worker_threads} threads"
    what = f"{sizes}, the scheduler and the exporter may take {wanted} connections; the server allows {available}"
    if wanted <= available:
        return ok(_NAME, what)
    mend = "raise max_connections, or lower CALLBOARD_WORKER_PROCESSES or CALLBOARD_WORKER_THREADS."
    return error(_NAME, what, mend)


def _revision(url: str) -> Finding:
    at, newest = migrate.current(url), migrate.head()
    if at == newest:
        return ok(_NAME, f"it is at revision {at}")
    if at is None:
        return error(_NAME, "it was never migrated", "run `callboard migrate`.")
    if at > newest:
        return error(
            _NAME, f"it is at revision {at}, newer than this version's {newest}", "install a newer callboard here."
        )
    return error(_NAME, f"it is at revision {at}, this version needs {newest}", "run `callboard migrate`.")
