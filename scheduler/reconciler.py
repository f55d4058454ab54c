"""The reconciler: a run that the ledger holds and the broker does not know is sent again.

It looks at durable runs that are due, pending and not started for a while, oldest first, a page at a time, and asks
the broker which messages it has. A broker that lost everything is filled again in one round. A long queue whose
messages are all there is looked through over several rounds, so that asking costs the broker little.

RabbitMQ cannot be asked. What it confirmed is taken for lost only when the run has been due for ten minutes; if it was
not lost, the ledger turns the second message away.

Sending twice is harmless: the broker takes an id it holds no second time, and a run starts once.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from callboard.broker.codec import decode
from callboard.errors import ArgumentsError, SealedMessage
from callboard.ledger import runs
from callboard.ledger.seal import unseal
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dramatiq import Message
    from sqlalchemy import Engine, RowMapping

    from callboard.broker import Transport
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_PAGE = 1000
#: Pages without a loss that are looked at in one round.
_QUIET_PAGES = 10
#: What a broker took that cannot be asked is missed after so many seconds.
_SURELY_LOST_SECONDS = 600.0


class Reconciler(Loop):
    """Sends the messages of durable runs that were never enqueued, or that the broker lost."""

    def __init__(self, engine: Engine, broker: Transport, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("reconciler", settings.recovery_seconds)
        self._engine = engine
        self._broker = broker
        self._age = settings.recovery_seconds
        self._leading = leading
        self._place: runs.Key | None = None

    def _tick(self) -> None:
        quiet = 0
        while quiet < _QUIET_PAGES and self._leading() and not self._stop.is_set():
            suspects = self._suspects()
            missing = self._missing(suspects)
            if missing:
                self._send(missing)
            quiet = 0 if missing else quiet + 1
            if len(suspects) < _PAGE:
                self._place = None
                return
            self._place = (suspects[-1]["id"], suspects[-1]["created_at"])

    def _suspects(self) -> Sequence[RowMapping]:
        sure = None if self._broker.knows_contents else _SURELY_LOST_SECONDS
        with self._engine.begin() as connection:
            return runs.maybe_messageless(connection, age=self._age, sure=sure, after=self._place, limit=_PAGE)

    def _missing(self, suspects: Sequence[RowMapping]) -> Sequence[RowMapping]:
        if not (suspects and self._broker.knows_contents):
            return suspects
        held = self._broker.has((row["queue"], row["delivery"]) for row in suspects)
        missing = [row for row, there in zip(suspects, held, strict=True) if not there]
        return self._not_begun(missing) if missing else missing

    def _not_begun(self, missing: Sequence[RowMapping]) -> Sequence[RowMapping]:
        """Without those whose messages are gone because they were worked off while the broker was asked."""
        with self._engine.begin() as connection:
            return runs.as_they_were(connection, missing)

    def _send(self, missing: Sequence[RowMapping]) -> None:
        letters = [(row, message) for row in missing if (message := _message(row)) is not None]
        sent = self._enqueue(letters)
        if not sent:
            return
        note = runs.event("sent again", datetime.now(UTC), "the broker did not have its message")
        with self._engine.begin() as connection:
            runs.resent(connection, [(row["id"], row["created_at"]) for row in sent], note=note)
        jobs = Counter(row["job"] for row in sent)
        logger.warning("run.sent_again", runs=len(sent), jobs=dict(jobs), first_run_id=str(sent[0]["id"]))

    def _enqueue(self, letters: Sequence[tuple[RowMapping, Message[Any]]]) -> Sequence[RowMapping]:
        """Hand the messages over in one go; if one of them is refused for what it is, the others go one by one."""
        try:
            self._broker.enqueue_many(message for _, message in letters)
        except ArgumentsError:
            return [row for row, message in letters if self._enqueue_one(row, message)]
        return [row for row, _ in letters]

    def _enqueue_one(self, row: RowMapping, message: Message[Any]) -> bool:
        try:
            self._broker.enqueue(message)
        except ArgumentsError as error:
            _tell(row, str(error))
            return False
        return True


def _message(row: RowMapping) -> Message[Any] | None:
    try:
        message, defect = decode(unseal(bytes(row["payload"])), row["queue"])
    except SealedMessage as error:
        message, defect = None, str(error)
    if message is None or defect:
        _tell(row, defect)
        return None
    retries = int(row["delivery"].rpartition(".")[2])
    return message.copy(options={"retries": retries}) if retries else message


def _tell(row: RowMapping, error: str) -> None:
    logger.error("run.cannot_be_sent", run_id=str(row["id"]), job=row["job"], error=error)
