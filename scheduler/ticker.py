"""The ticker: what is due, and what becomes of each tick.

For every due tick one row is written, whatever happens to it: fired, coalesced into a later one, or skipped and why.
The row, the pending run, its claim and the schedule's watermark are one transaction; the message leaves after it.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from callboard import DuplicateRun, news
from callboard.dispatch import enqueue, insert, message_for
from callboard.ledger import schedules
from callboard.spec import spec_of
from observability import tracing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dramatiq import Broker, Message
    from dramatiq.actor import Actor
    from sqlalchemy import Connection

    from callboard.cadence import Cadence
    from callboard.ledger.facts import RunFacts
    from callboard.metering import Metering
    from observability.tracing._parts import Slot

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_CHUNK = 10_000
_AFTER_ERROR = timedelta(seconds=2)


class Due(NamedTuple):
    """The ticks of one schedule that nobody dealt with yet."""

    last: datetime
    ticks: int


class Ticker:
    """Fires the recurring jobs of one broker. Not thread-safe: one leader, one thread."""

    def __init__(self, broker: Broker, metering: Metering | None = None) -> None:
        self._broker = broker
        self._metering = metering
        actors = sorted(broker.actors.items())
        self._actors: dict[str, Actor[Any, Any]] = {name: a for name, a in actors if spec_of(a).recurring}
        self._next: dict[str, datetime] = {}

    @property
    def jobs(self) -> list[str]:
        """Names of the recurring jobs."""
        return list(self._actors)

    def _cadence(self, job: str) -> Cadence:
        cadence = spec_of(self._actors[job]).cadence
        if cadence is None:
            raise ValueError(f"Job {job!r} has no cadence.")
        return cadence

    def declare(self, connection: Connection, now: datetime) -> None:
        """Make the ledger know just these schedules, and look at each of them at the next tick."""
        rows = [
            {
                "job": job,
                "queue": actor.queue_name,
                "cadence": str(self._cadence(job)),
                "interval_seconds": self._cadence(job).interval_seconds(),
            }
            for job, actor in self._actors.items()
        ]
        with connection.begin():
            schedules.declare(connection, rows, now=now)
        self._next = dict.fromkeys(self._actors, now)

    def next_due(self) -> datetime | None:
        """When the next tick is due, or None when no job recurs."""
        return min(self._next.values(), default=None)

    def tick(self, connection: Connection, now: datetime) -> list[str]:
        """Deal with every schedule that is due at `now`; one that fails does not hold back another.

        Returns:
            The jobs that were fired.

        Raises:
            sqlalchemy.exc.DBAPIError: The session is gone, and with it the right to fire.
        """
        due = sorted((moment, job) for job, moment in self._next.items() if moment <= now)
        return [job for _, job in due if self._deal_with(connection, job, now)]

    def _deal_with(self, connection: Connection, job: str, now: datetime) -> bool:
        try:
            with tracing.slot(job) as slot:
                sent = self._fire(connection, job, now, slot)
            self._next[job] = self._cadence(job).after(now)
        except Exception as error:
            if connection.invalidated or connection.closed:
                raise
            self._next[job] = now + _AFTER_ERROR
            logger.exception("schedule.failed", schedule=job, error=str(error).partition("\n")[0])
            return False
        return sent

    def _fire(self, connection: Connection, job: str, now: datetime, slot: Slot | None) -> bool:
        with connection.begin():
            locked = schedules.lock(connection, job)
            due = None if locked is None else self._due(job, locked[0], now)
            if locked is None or due is None:
                return False
            watermark, paused = locked
            sent = self._decide(connection, job, watermark, due, now, paused=paused)
            schedules.advance(connection, job, due.last)
            news.tell(connection, "jobs_changed")
        if slot is not None:
            _tell(slot, due, now, fired=sent is not None)
        if sent is None:
            return False
        self._send(*sent)
        return True

    def _due(self, job: str, watermark: datetime, now: datetime) -> Due | None:
        count = 0
        last: deque[datetime] = deque(maxlen=1)
        for moment in self._cadence(job).between(watermark, now):
            count += 1
            last.append(moment)
        return Due(last[0], count) if last else None

    def _decide(
        self, connection: Connection, job: str, watermark: datetime, due: Due, now: datetime, *, paused: bool
    ) -> tuple[Message[Any], RunFacts] | None:
        limit = spec_of(self._actors[job]).late_limit
        late = limit is not None and (now - due.last).total_seconds() > limit
        if paused or late:
            self._write_all(connection, job, watermark, due.last, "skipped", reason="paused" if paused else "late")
            return None
        if due.ticks > 1:
            before = due.last - timedelta(microseconds=1)
            self._write_all(connection, job, watermark, before, "coalesced", into=due.last)
        return self._claim(connection, job, due)

    def _write_all(
        self,
        connection: Connection,
        job: str,
        start: datetime,
        end: datetime,
        outcome: str,
        *,
        reason: str | None = None,
        into: datetime | None = None,
    ) -> None:
        for times in _chunks(self._cadence(job).between(start, end)):
            schedules.record(connection, job, times, outcome, reason=reason, into=into)
        logger.info("schedule.not_fired", schedule=job, outcome=outcome, reason=reason, until=end)

    def _claim(self, connection: Connection, job: str, due: Due) -> tuple[Message[Any], RunFacts] | None:
        actor = self._actors[job]
        missed = due.ticks if due.ticks > 1 else 0
        message = message_for(actor, trigger="schedule", scheduled_for=due.last, missed=missed)
        try:
            facts = insert(connection, message, spec_of(actor))
        except DuplicateRun as error:
            schedules.record(connection, job, [due.last], "skipped", reason="overlap", run_id=error.existing)
            logger.info("schedule.not_fired", schedule=job, outcome="skipped", reason="overlap", until=due.last)
            return None
        if schedules.record(connection, job, [due.last], "fired", run_id=facts.id) == 0:
            raise RuntimeError(f"tick {due.last.isoformat()} of {job} has its row already; nothing is fired twice")
        return message, facts

    def _send(self, message: Message[Any], facts: RunFacts) -> None:
        try:
            enqueue(self._broker, message, facts)
        except Exception as error:  # noqa: BLE001 - the run is in the ledger, the reconciler sends it
            logger.warning("schedule.send_postponed", schedule=facts.job, error=str(error).partition("\n")[0])
            return
        if self._metering is not None and facts.scheduled_for is not None:
            self._metering.fired((datetime.now(UTC) - facts.scheduled_for).total_seconds())


def _tell(slot: Slot, due: Due, now: datetime, *, fired: bool) -> None:
    lag = round((now - due.last).total_seconds() * 1000)
    slot.tell(slot=due.last.isoformat(), lag_ms=lag, ticks=due.ticks, outcome="fired" if fired else "skipped")


def _chunks(times: Iterator[datetime]) -> Iterator[list[datetime]]:
    while chunk := list(islice(times, _CHUNK)):
        yield chunk
