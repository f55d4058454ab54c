"""One leader among any number of schedulers: whoever's database session holds the advisory lock.

The ticks are written through that same session. A leader that lost the lock lost the session too, so it cannot fire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_KEY = 0x0CA11B0B  # an advisory lock key of our own
_TRY = text("select pg_try_advisory_lock(:key)")
_HELD = text("select 1")


class Leader:
    """Tries to lead, and knows whether it does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    @property
    def leading(self) -> bool:
        """True while the lock is held, as far as this process knows."""
        return self._connection is not None

    @property
    def connection(self) -> Connection:
        """The session that holds the lock; every tick is written through it.

        Raises:
            RuntimeError: This process does not lead.
        """
        if self._connection is None:
            raise RuntimeError("This scheduler does not lead; ask try_lead() first.")
        return self._connection

    def try_lead(self) -> bool:
        """Take the lock if nobody has it; True if this process leads now.

        Raises:
            sqlalchemy.exc.DBAPIError: The database does not answer.
        """
        if self._connection is not None:
            return True
        connection = self._engine.connect()
        try:
            with connection.begin():
                taken = bool(connection.execute(_TRY, {"key": _KEY}).scalar_one())
        except BaseException:
            connection.close()
            raise
        if not taken:
            connection.close()
            return False
        self._connection = connection
        logger.info("scheduler.leading")
        return True

    def check(self) -> None:
        """Make sure that the session still lives.

        Raises:
            sqlalchemy.exc.DBAPIError: It does not; `resign` next.
        """
        with self.connection.begin():
            self.connection.execute(_HELD)

    def resign(self) -> None:
        """Give the lock up, if it is held; may be called at any time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closes the session, and with it the lock
            connection.close()
            logger.info("scheduler.resigned")
