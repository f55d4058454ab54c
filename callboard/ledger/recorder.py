"""The recorder: every start and every end of an attempt, one transaction each, fenced by the attempt's token.

A message is acknowledged only after `finish` returned, so nothing acknowledged is unrecorded. Whoever comes late with a
token that is not the run's current one changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from callboard.ledger import claims, failures, limits, runs, schedules, totals
from callboard.ledger.facts import Refused, Report, RunFacts, Started
from callboard.outcome import Cancelled, Completed, Failed, Failure, Interrupted, Outcome, Retry

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from callboard.settings import Settings

# A message that comes while another worker still holds its run looks again after this long.
_ELSEWHERE_SECONDS = 2.0


class Recorder:
    """Writes attempts to the ledger on behalf of one worker process. Thread-safe."""

    def __init__(self, engine: Engine, worker_id: UUID, settings: Settings) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._settings = settings

    def start(self, facts: RunFacts) -> Started | Refused:
        """Begin an attempt of the run that the message tells of.

        Raises:
            sqlalchemy.exc.DBAPIError: The ledger did not answer; nothing is started.
        """
        with self._engine.begin() as connection:
            wait = limits.wait(connection, facts)
            if wait > 0:
                return Refused("limit", delay=wait)
            if facts.single:
                holder = claims.take(connection, facts, lease=self._settings.lease_seconds)
                if holder is not None:
                    return self._overlap(connection, facts, holder)
            answer = self._try_start(connection, facts) or self._refuse(connection, facts)
            if facts.single and answer == Refused("ended"):
                claims.release(connection, facts.job, facts.scope, facts.id)
            return answer

    def _try_start(self, connection: Connection, facts: RunFacts) -> Started | None:
        limit = self._settings.max_crashes
        row = runs.start(connection, facts, worker_id=self._worker_id, max_crashes=limit)
        if row is None:
            return None
        if facts.recurring:
            schedules.started(connection, facts.job)
        return Started(attempt=row[0], token=row[1])

    def _overlap(self, connection: Connection, facts: RunFacts, holder: UUID) -> Refused:
        place = runs.look(connection, facts)
        if place is not None and place.state not in ("pending", "running"):
            return Refused("ended")
        runs.insert_pending(connection, facts)
        detail = f"overlap: run {holder} of {facts.job} is already there"
        runs.end_pending(connection, facts.id, facts.created_at, state="cancelled", reason=detail)
        return Refused("overlap", detail=str(holder))

    def _refuse(self, connection: Connection, facts: RunFacts) -> Started | Refused:
        place = runs.look(connection, facts)
        if place is None or place.state not in ("pending", "running"):
            return Refused("ended")
        if place.state == "running":
            if place.held:
                return Refused("elsewhere", delay=_ELSEWHERE_SECONDS)
            note = runs.event("lost", datetime.now(UTC), "delivered again, its worker is gone")
            runs.lose(connection, facts.id, facts.created_at, place.token or 0, note=note)
            return self._try_start(connection, facts) or self._refuse(connection, facts)
        if place.cancelled:
            runs.end_pending(connection, facts.id, facts.created_at, state="cancelled", reason="cancelled")
            self._ended(connection, facts, "cancelled", 0.0)
            return Refused("ended")
        if place.crashes >= self._settings.max_crashes:
            return Refused("poison", detail=str(place.crashes))
        return Refused("early", delay=max(place.early, 0.1)) if place.early > 0 else Refused("ended")

    def bury(self, facts: RunFacts, failure: Failure, *, reason: str, attempt: int) -> bool:
        """Give up on a run that must not start: failed, with its failure, issue and dead letter."""
        with self._engine.begin() as connection:
            runs.insert_pending(connection, facts)
            if not runs.end_pending(
                connection, facts.id, facts.created_at, state="failed", reason=reason, failure=failure
            ):
                return False
            self._give_up(connection, facts, attempt, failure, reason)
            self._ended(connection, facts, "failed", 0.0)
            return True

    def finish(self, facts: RunFacts, started: Started, outcome: Outcome, report: Report, *, delivery: str) -> bool:
        """Record how an attempt ended; safe to repeat.

        Args:
            facts: The run.
            started: What `start` answered.
            outcome: How it ended.
            report: What the run said of itself.
            delivery: The broker's id of the message that a retry will come back as.

        Returns:
            False when the attempt had lost its run: nothing was changed.
        """
        with self._engine.begin() as connection:
            seconds = self._end(connection, facts, started, outcome, report, delivery)
            if seconds is None:
                return False
            name = _NAMES[type(outcome)]
            totals.add(
                connection, job=facts.job, queue=facts.queue, outcome=name, seconds=float(seconds), shard=started.token
            )
            if not isinstance(outcome, Retry | Interrupted):
                self._ended(connection, facts, name, float(seconds))
            return True

    def _end(
        self,
        connection: Connection,
        facts: RunFacts,
        started: Started,
        outcome: Outcome,
        report: Report,
        delivery: str,
    ) -> float | None:
        match outcome:
            case Completed():
                return runs.finish(connection, facts, started.token, state="completed", report=report)
            case Cancelled(reason):
                return runs.finish(connection, facts, started.token, state="cancelled", report=report, reason=reason)
            case Interrupted():
                note = runs.event("interrupted", datetime.now(UTC), "the worker stopped")
                return runs.interrupt(connection, facts, started.token, report=report, note=note)
            case Retry(failure, delay):
                seconds = runs.retry(
                    connection, facts, started.token, report=report, failure=failure, delay=delay, delivery=delivery
                )
                if seconds is not None:
                    failures.record(connection, facts, started.attempt, failure)
                    lease = delay + self._settings.pending_lease_seconds
                    claims.renew(connection, [facts.id], lease=lease)
                return seconds
            case Failed(failure, reason):
                seconds = runs.finish(
                    connection, facts, started.token, state="failed", report=report, failure=failure, reason=reason
                )
                if seconds is not None:
                    self._give_up(connection, facts, started.attempt, failure, reason)
                return seconds

    @staticmethod
    def _give_up(connection: Connection, facts: RunFacts, attempt: int, failure: Failure, reason: str) -> None:
        issue_id = failures.record(connection, facts, attempt, failure)
        failures.bury(connection, facts, attempt, failure, reason=reason, issue_id=issue_id)

    @staticmethod
    def _ended(connection: Connection, facts: RunFacts, outcome: str, seconds: float) -> None:
        if facts.single:
            claims.release(connection, facts.job, facts.scope, facts.id)
        if facts.recurring:
            schedules.ended(connection, facts.job, outcome=outcome, seconds=seconds)


_NAMES: dict[type[Outcome], str] = {
    Completed: "success",
    Retry: "retry",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "shutdown",
}
