"""How attempts end, a batch in one transaction.

Most batches are of light runs alone: one statement, which assumes that none of them has a row. Where one has, the
statement fails as a whole, and the batch is written again with a look at every row.

Locks are taken in this order by every transaction: runs, schedules, claims, issues, token usages, totals; within a
table by key.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from psycopg.errors import UniqueViolation

from callboard.ledger import claims, failures, schedules, token_usages, totals
from callboard.ledger import endings as many
from callboard.ledger.endings import attempt_of
from callboard.ledger.facts import Report
from callboard.ledger.failures import Failing
from callboard.ledger.outgoing import Outgoing, leave
from callboard.ledger.wire import ERRORS, is_away, told_by
from callboard.outcome import ONGOING, Failed, PutOff, Retry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from callboard.ledger.endings import Attempt
    from callboard.ledger.facts import Ending
    from callboard.ledger.wire import Cursor, Wire
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Finisher:
    """Ends attempts on behalf of one worker process. Thread-safe."""

    def __init__(self, wire: Wire, worker_id: UUID, settings: Settings) -> None:
        self._wire = wire
        self._worker_id = worker_id
        self._settings = settings
        self._outgoing = Outgoing(settings)

    def finish(self, endings: Sequence[Ending]) -> list[bool]:
        """For each, whether the attempt ended its run, by this call or by an earlier one whose answer was lost."""
        try:
            return self._finish(endings)
        finally:
            leave()

    def _finish(self, endings: Sequence[Ending]) -> list[bool]:
        try:
            return self._assuming_no_rows(endings)
        except UniqueViolation:
            return self._looking(endings)
        except ERRORS as error:
            if is_away(error):
                raise
            return [self._alone(ending) for ending in endings]

    def _assuming_no_rows(self, endings: Sequence[Ending]) -> list[bool]:
        light = [many.is_light(ending) for ending in endings]  # asked once: the heart may write a row meanwhile
        if all(light):
            with self._wire.cursor() as cursor:
                self._insert(cursor, endings)
            return light
        with self._wire.cursor(transaction=True) as cursor:
            if any(light):
                self._insert(cursor, [ending for ending, is_light in zip(endings, light, strict=True) if is_light])
            others = [ending for ending, is_light in zip(endings, light, strict=True) if not is_light]
            kept = self._end(cursor, others)
        return [is_light or attempt_of(ending) in kept for ending, is_light in zip(endings, light, strict=True)]

    def _insert(self, cursor: Cursor, light: Sequence[Ending]) -> None:
        many.insert_light(cursor, light, worker_id=self._worker_id, shard=self._wire.slot)

    def _looking(self, endings: Sequence[Ending]) -> list[bool]:
        with self._wire.cursor(transaction=True) as cursor:
            kept = self._end(cursor, endings)
        return [attempt_of(ending) in kept for ending in endings]

    def _alone(self, ending: Ending) -> bool:
        try:
            return self._looking([ending])[0]
        except ERRORS as error:
            if is_away(error):
                raise
            logger.exception("ledger.report_refused", error=told_by(error), run_id=str(ending.facts.id))
            bare = replace(ending, report=Report(), facts=replace(ending.facts, args={}))
            return self._looking([bare])[0]

    def _end(self, cursor: Cursor, endings: Sequence[Ending]) -> set[Attempt]:
        now = time.monotonic()
        without = [one for one in endings if not one.started.recorded]
        if without:
            begun = [(one.facts, one.started, now - one.ended + one.seconds) for one in without]
            many.begin(cursor, begun, worker_id=self._worker_id)
        kept = many.end(cursor, endings, now)
        if kept:
            self._follow_up(cursor, [ending for ending in endings if attempt_of(ending) in kept])
        lost = [ending for ending in endings if attempt_of(ending) not in kept]
        return kept | self._look_again(cursor, lost) if lost else kept

    @staticmethod
    def _look_again(cursor: Cursor, lost: Sequence[Ending]) -> set[Attempt]:
        ours = many.ours(cursor, lost)
        doubled = [one for one in lost if not one.started.recorded and attempt_of(one) not in ours]
        if doubled:
            many.declare_doubled(cursor, doubled)
        return ours

    def _follow_up(self, cursor: Cursor, endings: Sequence[Ending]) -> None:
        over = [one for one in endings if not isinstance(one.outcome, ONGOING)]
        scheduled = [
            (one.facts.job, totals.NAMES[type(one.outcome)], one.seconds, float(sum(one.report.counts.values())))
            for one in over
            if one.facts.recurring
        ]
        if scheduled:
            schedules.ended_many(cursor, scheduled)
        self._settle_claims(cursor, endings)
        failing = [one for one in map(_failing, endings) if one is not None]
        if failing:
            failures.record_many(cursor, failing)
        spending = [one for one in endings if one.report.tokens]
        if spending:
            token_usages.add_many(cursor, spending)
        totals.add_many(cursor, endings, shard=self._wire.slot)
        self._outgoing.endings(cursor, over)

    def _settle_claims(self, cursor: Cursor, endings: Sequence[Ending]) -> None:
        """A run that waits for its next try keeps its claim, one that is over gives it back."""
        single = [ending for ending in endings if ending.facts.single]
        pending = self._settings.pending_lease_seconds
        waiting = [
            (one.facts, one.outcome.delay + pending) for one in single if isinstance(one.outcome, Retry | PutOff)
        ]
        over = [one.facts for one in single if not isinstance(one.outcome, ONGOING)]
        if over or waiting:
            claims.settle(cursor, over=over, waiting=waiting)


def _failing(ending: Ending) -> Failing | None:
    match ending.outcome:
        case Retry(failure, _):
            reason = None
        case Failed(failure, reason):
            pass
        case _:
            return None
    trace_id = None if ending.trace is None else ending.trace[0]
    attempt, report = ending.started.attempt, ending.report
    return Failing(ending.facts, attempt, failure, reason, trace_id, report.log, ending.seconds)
