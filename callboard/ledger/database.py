"""Connections to the ledger's Postgres."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from callboard.embedded import database_of
from callboard.ledger._naming import name_runs
from callboard.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

#: What is raised while Postgres cannot be reached, by SQLAlchemy and by the driver below it.
AWAY = (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError, psycopg.InterfaceError)

# A dead peer is noticed within about 15 s instead of hours.
_KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 3, "keepalives_count": 3, "connect_timeout": 10}


def database_url(settings: Settings) -> str:
    """The URL of the ledger: the one that is set, or that of the embedded server that is running.

    Raises:
        LookupError: Neither is there, the embedded one does not answer, or what is set names no Postgres; the message
            says what to do.
    """
    if settings.database_url is not None:
        return _with_driver(settings.database_url)
    url = database_of(settings.home)
    if url is None:
        raise LookupError(
            f"No database: CALLBOARD_DATABASE_URL is not set and no embedded server runs under {settings.home}. "
            "Set it, or start one with `callboard up`."
        )
    return url


def _with_driver(url: str) -> str:
    scheme, _, rest = url.partition("://")
    kind, _, driver = scheme.partition("+")
    if kind not in ("postgres", "postgresql"):
        raise LookupError(
            "CALLBOARD_DATABASE_URL names no Postgres. Make it like postgresql://user:password@host:5432/name."
        )
    return url if driver else f"postgresql+psycopg://{rest}"


def make_engine(url: str, *, pool_size: int, application: str) -> Engine:
    """An engine with connections of at most `pool_size`; `application` is what pg_stat_activity shows."""
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=2,
        connect_args={**_KEEPALIVE, "application_name": application},
    )
    name_runs(engine)
    return engine


@dataclass
class _Process:
    """What the engine of this process is made for."""

    pool_size: int | None = None
    application: str = "callboard"


_process = _Process()


def declare_process(application: str, *, pool_size: int) -> None:
    """This process is no worker: its name in pg_stat_activity, and its connections. Before the first `get_engine`."""
    _process.application, _process.pool_size = application, pool_size


@lru_cache(maxsize=1)
def get_engine() -> Engine:
    """The engine of this process, made at the first call from the settings."""
    settings = get_settings()
    pool_size = settings.worker_threads + 2 if _process.pool_size is None else _process.pool_size
    return make_engine(database_url(settings), pool_size=pool_size, application=_process.application)


def dispose() -> None:
    """Close the connections of this process, if any were made; the next call to `get_engine` starts anew."""
    if get_engine.cache_info().currsize:
        get_engine().dispose()
        get_engine.cache_clear()


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection inside one transaction: committed at the end of the block, rolled back if it raises."""
    with get_engine().begin() as connection:
        yield connection


@contextmanager
def autocommit() -> Iterator[Connection]:
    """A connection whose statements are each committed at once: for what is held while the outside is called.

    Give back what you take for the session (advisory locks above all) before the block ends: the connection returns to
    its pool.
    """
    with get_engine().connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")
