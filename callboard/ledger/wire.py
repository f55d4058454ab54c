"""The recorder's own connection: psycopg's, below SQLAlchemy, whose layer costs 2 µs a run in batches of 50.

In autocommit mode a statement is a transaction and one round trip. The errors are psycopg's.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import psycopg
from psycopg.errors import ProgramLimitExceeded
from sqlalchemy.exc import SQLAlchemyError

from callboard.ledger.database import AWAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]

#: What a call into the ledger may raise, by the driver, by SQLAlchemy or by the encoding of a value.
ERRORS = (psycopg.Error, SQLAlchemyError, ValueError, TypeError)

_TOTALS_LOCK = 0x0CA11B0B  # an advisory lock key of our own
_SLOTS = 1024
_SLOT = "select slot from generate_series(0, %s) as slot where pg_try_advisory_lock(%s, slot) limit 1"


class Wire:
    """One lazily made connection, remade after it broke. Thread-safe: one user at a time, the others wait.

    Attributes:
        slot: A number that no other living `Wire` on this database has, the least that was free.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._closing: weakref.finalize[..., Wire] | None = None
        self.slot = 0

    @contextmanager
    def cursor(self, *, transaction: bool = False) -> Iterator[Cursor]:
        """A cursor on the connection; the block is one transaction if so told, else each statement is.

        Raises:
            psycopg.Error: A statement failed, and the transaction with it. If the connection broke while a transaction
                was being committed, nobody knows whether it was.
        """
        with self._lock:
            connection = self._open()
            try:
                with connection.cursor() as cursor:
                    if not transaction:
                        yield cursor
                        return
                    with connection.transaction():
                        yield cursor
            finally:
                if connection.closed:
                    self._drop()

    def close(self) -> None:
        """Give the connection up; the next user makes a new one."""
        with self._lock:
            self._drop()

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is not None:
            return self._connection
        pooled = self._engine.raw_connection()
        connection = cast("psycopg.Connection[tuple[Any, ...]]", pooled.driver_connection)
        pooled.detach()
        connection.autocommit = True
        connection.prepare_threshold = 0
        self._connection, self._closing = connection, weakref.finalize(self, connection.close)
        row = connection.execute(_SLOT, (_SLOTS, _TOTALS_LOCK)).fetchone()
        self.slot = _SLOTS if row is None else row[0]
        return connection

    def _drop(self) -> None:
        if self._closing is not None:
            self._closing()
        self._connection = self._closing = None


def is_away(error: BaseException) -> bool:
    """True if the same call may succeed later. A value beyond Postgres's limits is an OperationalError too."""
    return isinstance(error, AWAY) and not isinstance(error, ProgramLimitExceeded)


def told_by(error: BaseException) -> str:
    """The error's first line; the rest may hold the whole statement."""
    return str(error).partition("\n")[0]
