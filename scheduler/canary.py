"""The canary loop: sends every queue its canary, and notes which came back. See `callboard.canary` for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard import canary, notifications
from callboard.envelope import delivery_id
from callboard.ledger import canaries
from callboard.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine, RowMapping

    from callboard.broker import Transport
    from callboard.settings import Settings

#: How late a success may be noted; the rows of canaries that came back live no longer.
_LONGEST_ROUND_SECONDS = 5.0
#: A canary that a broker took which cannot be asked is missed after so many seconds.
_SURELY_LOST_SECONDS = 600.0


class Canaries(Loop):
    """Sends canaries while this process leads.

    The first one follows a period after the queue was declared, when workers have had the time to start.
    """

    def __init__(self, engine: Engine, broker: Transport, settings: Settings, leading: Callable[[], bool]) -> None:
        self._period = settings.canary_seconds
        super().__init__("canaries", min(self._period / 2 or _LONGEST_ROUND_SECONDS, _LONGEST_ROUND_SECONDS))
        self._engine = engine
        self._broker = broker
        self._leading = leading

    def _tick(self) -> None:
        if not self._leading():
            return
        actor = canary.declare(self._broker) if self._period else None
        due = self._look()
        if actor is None or not due:
            return
        messages = [canary.message(actor, row["queue"]) for row in self._without_one(due)]
        if not messages:
            return
        self._broker.enqueue_many(messages)
        with self._engine.begin() as connection:
            canaries.sent(connection, {message.queue_name: delivery_id(message) for message in messages})

    def _look(self) -> Sequence[RowMapping]:
        """Note what came back; the queues that are due. Without a period all rows go: nobody waits for a canary."""
        # None for the notifications' queue: whoever names a worker's queues and tells nobody has no worker for it.
        queues = self._broker.get_declared_queues() - {notifications.QUEUE} if self._period else set()
        with self._engine.begin() as connection:
            canaries.collect(connection, canary.NAME)
            canaries.declare(connection, queues)
            return canaries.due(connection, queues, seconds=self._period)

    def _without_one(self, due: Sequence[RowMapping]) -> list[RowMapping]:
        """The queues that are not paused, and where the last canary came back or was lost."""
        paused = self._broker.paused()
        open_ones = [row for row in due if row["queue"] not in paused]
        awaited = [row for row in open_ones if row["awaited"]]
        if not self._broker.knows_contents:
            held = [float(row["sent_seconds_ago"]) < _SURELY_LOST_SECONDS for row in awaited]
        else:
            held = self._broker.has((row["queue"], row["delivery"]) for row in awaited) if awaited else []
        waiting = {row["queue"] for row, there in zip(awaited, held, strict=True) if there}
        return [row for row in open_ones if row["queue"] not in waiting]
