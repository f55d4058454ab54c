"""The reconciler: a run that the ledger holds and the broker does not know is sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from dramatiq import Message

from callboard.ledger import runs
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine, RowMapping

    from callboard.broker import RedisBroker
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Reconciler(Loop):
    """Sends the messages of durable runs that were never enqueued, or that the broker lost."""

    def __init__(self, engine: Engine, broker: RedisBroker, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("reconciler", settings.recovery_seconds)
        self._engine = engine
        self._broker = broker
        self._age = settings.recovery_seconds
        self._leading = leading

    def _tick(self) -> None:
        if not self._leading():
            return
        with self._engine.begin() as connection:
            suspects = runs.maybe_messageless(connection, age=self._age)
        if not suspects:
            return
        held = self._broker.has((row["queue"], row["delivery"]) for row in suspects)
        for row in (row for row, there in zip(suspects, held, strict=True) if not there):
            self._resend(row)

    def _resend(self, row: RowMapping) -> None:
        message: Message[object] = Message.decode(bytes(row["payload"]))
        retries = int(row["delivery"].rpartition(".")[2])
        if retries:
            message = message.copy(options={"retries": retries})
        delay = round(float(row["delay"]) * 1000)
        self._broker.enqueue(message, delay=delay or None)
        note = runs.event("sent again", datetime.now(UTC), "the broker did not have its message")
        with self._engine.begin() as connection:
            runs.resent(connection, row["id"], row["created_at"], note=note)
        logger.warning("run.sent_again", run_id=str(row["id"]), job=row["job"])
