"""What this process knows of the breakers: all that are not simply closed, read at once and kept for a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog

from callboard.ledger import breakers
from callboard.ledger.database import AWAY, get_engine, transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: What is known is at most this old.
FRESH_SECONDS = 1.0


class Standing(NamedTuple):
    """One breaker; `probe_at` is when one may probe, by `time.monotonic()`."""

    state: str
    failures: int
    probe_at: float = 0.0


WELL = Standing("closed", 0)


class Known:
    """The standings of one process, of the ledger it is connected to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -FRESH_SECONDS
        self._of: Engine | None = None
        self._standings: Mapping[str, Standing] = {}

    def of(self, key: str, *, anew: bool = False) -> Standing:
        """How the breaker stands; `anew` asks the ledger, else it is asked once a second.

        While the ledger is away, what was known last holds; without one, e.g. in a unit test, all are closed.
        """
        if anew or time.monotonic() - self._read_at >= FRESH_SECONDS or self._of is not _engine():
            self._read(wait=anew)
        return self._standings.get(key, WELL)

    def put(self, key: str, standing: Standing) -> None:
        """Note what this process itself has just written."""
        with self._lock:
            self._standings = {**self._standings, key: standing}

    def _read(self, *, wait: bool) -> None:
        """One thread reads; the others go on with what was known, unless they must `wait` for news."""
        if not self._lock.acquire(blocking=wait or self._of is not _engine()):
            return
        try:
            self._of = _engine()
            self._standings = {} if self._of is None else _read_all()
        except AWAY as error:
            logger.warning("breakers.unknown", error=str(error).partition("\n")[0])
        finally:
            self._read_at = time.monotonic()
            self._lock.release()


def _engine() -> Engine | None:
    try:
        return get_engine()
    except LookupError:
        return None


def _read_all() -> dict[str, Standing]:
    with transaction() as connection:
        rows = breakers.unwell(connection)
    now = time.monotonic()
    return {row["key"]: Standing(row["state"], row["failures"], now + (row["probe_in"] or 0.0)) for row in rows}


known = Known()
