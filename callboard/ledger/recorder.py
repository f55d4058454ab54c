"""The recorder: every start and every end of an attempt, fenced by the attempt's token, many in one transaction.

A message is settled only after `finish_many` returned, so nothing acknowledged is unrecorded. Whoever comes late with a
token that is not the run's current one changes nothing.

    start_many ──▶ running ──finish_many──▶ completed, failed, cancelled      an attempt that is written first
                      ▲           │
                 begin_late       ├───────▶ pending (a retry, or given back)
                      │           │
    no row: light ────┴───────────┘                                           a light one: one row, when it ends

A row keeps the token of the attempt that ended last. So a batch that is sent again, because the answer to its commit was
lost, finds its own token and says True.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import psycopg
import structlog
from psycopg.errors import ProgramLimitExceeded, UniqueViolation
from sqlalchemy.exc import SQLAlchemyError

from callboard.ledger import claims, endings as many, failures, limits, runs, schedules, starts, totals
from callboard.ledger.database import AWAY
from callboard.ledger.facts import Ending, Refused, Report, RunFacts, Started
from callboard.ledger.failures import Failing
from callboard.ledger.rows import event
from callboard.ledger.facts import dumps
from callboard.ledger.tokens import NEXT, Tokens
from callboard.ledger.wire import Wire
from callboard.outcome import Failed, Failure, Interrupted, Outcome, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from callboard.ledger.wire import Cursor
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# A message that comes while another worker still holds its run looks again after this long.
_ELSEWHERE_SECONDS = 2.0
# So does one whose start the ledger refuses to write.
_REFUSED_SECONDS = 2.0
_ERRORS = (psycopg.Error, SQLAlchemyError, ValueError, TypeError)


class Recorder:
    """Writes attempts to the ledger on behalf of one worker process. Thread-safe.

    Every method raises one of `callboard.ledger.database.AWAY` when the ledger does not answer. Then nothing is lost:
    call it again.
    """

    def __init__(self, engine: Engine, worker_id: UUID, settings: Settings) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._settings = settings
        self._wire = Wire(engine)
        self._tokens = Tokens(self._draw)

    def close(self) -> None:
        """Give the recorder's own connection up; a later call makes a new one."""
        self._wire.close()

    def tokens(self) -> int:
        """A token for an attempt that starts without a row."""
        return self._tokens.take()

    def _draw(self) -> int:
        with self._wire.cursor() as cursor:
            row = cursor.execute(f"select {NEXT}").fetchone()  # noqa: S608 - constants only
        return 0 if row is None else int(row[0])

    def start(self, facts: RunFacts) -> Started | Refused:
        """Begin an attempt of the run that the message tells of."""
        return self._start_all([facts])[0]

    def start_many(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        """Begin an attempt of each run; one that cannot be written is to come again later."""
        try:
            return self._start_all(facts)
        except _ERRORS as error:
            if _is_away(error):
                raise
            return [self._start_alone(one) for one in facts]

    def _start_alone(self, facts: RunFacts) -> Started | Refused:
        try:
            return self.start(facts)
        except _ERRORS as error:
            if _is_away(error):
                raise
            logger.exception("ledger.start_refused", error=_first_line(error), run_id=str(facts.id), job=facts.job)
            return Refused("early", delay=_REFUSED_SECONDS)

    def _start_all(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        recurring = sorted({one.job for one in facts if one.recurring})
        answers: dict[int, Started | Refused] = {}
        with self._engine.begin() as connection:
            if recurring:
                schedules.hold(_cursor(connection), recurring)
            plain = _plain(facts)
            started = self._try_start(connection, plain.values())
            for index, one in plain.items():
                answers[index] = started.get(one.id) or self._refuse(connection, one)
            # In a fixed order, which every transaction that claims or counts keeps: none waits for another in a circle.
            rest = (index for index in range(len(facts)) if index not in plain)
            for index in sorted(rest, key=lambda index: (facts[index].job, facts[index].scope, facts[index].id)):
                answers[index] = self._start_asking(connection, facts[index])
        return [answers[index] for index in range(len(facts))]

    def _start_asking(self, connection: Connection, facts: RunFacts) -> Started | Refused:
        wait = limits.wait(connection, facts)
        if wait > 0:
            return Refused("limit", delay=wait)
        if facts.single:
            holder = claims.take(connection, facts, lease=self._settings.lease_seconds)
            if holder is not None:
                return self._overlap(connection, facts, holder)
        answer = self._try_start(connection, [facts]).get(facts.id) or self._refuse(connection, facts)
        if facts.single and answer == Refused("ended"):
            claims.release(connection, facts.job, facts.scope, facts.id)
        return answer

    def _try_start(self, connection: Connection, facts: Iterable[RunFacts]) -> dict[UUID, Started]:
        wanted, limit = list(facts), self._settings.max_crashes
        if not wanted:
            return {}
        cursor = _cursor(connection)
        begun = starts.start(cursor, wanted, worker_id=self._worker_id, max_crashes=limit)
        recurring = {one.job for one in wanted if one.recurring and one.id in begun}
        if recurring:
            schedules.started_many(cursor, recurring)
        return {run_id: Started(attempt, token) for run_id, (attempt, token) in begun.items()}

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
            note = dumps(event("lost", "delivered again, its worker is gone")) or ""
            runs.lose(connection, facts.id, facts.created_at, place.token or 0, note=note)
            return self._try_start(connection, [facts]).get(facts.id) or self._refuse(connection, facts)
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
            failures.record_many(_cursor(connection), [Failing(facts, attempt, failure, reason)])
            self._ended(connection, facts, "failed", 0.0)
            return True

    @staticmethod
    def _ended(connection: Connection, facts: RunFacts, outcome: str, seconds: float) -> None:
        if facts.single:
            claims.release(connection, facts.job, facts.scope, facts.id)
        if facts.recurring:
            schedules.ended(connection, facts.job, outcome=outcome, seconds=seconds)

    def begin_late(self, begun: Sequence[tuple[RunFacts, Started, float]]) -> list[bool]:
        """Give attempts that started without a row, the given seconds ago, their rows.

        Returns:
            For each, whether it was written; False when the run has a row already.
        """
        with self._wire.cursor() as cursor:
            written = many.begin(cursor, begun, worker_id=self._worker_id)
        for facts, started, _ in begun:
            started.recorded = started.recorded or facts.id in written
        return [facts.id in written for facts, _, _ in begun]

    def finish(
        self,
        facts: RunFacts,
        started: Started,
        outcome: Outcome,
        report: Report,
        *,
        delivery: str,
        seconds: float = 0.0,
    ) -> bool:
        """`finish_many` for one attempt that has just ended after so many seconds."""
        return self.finish_many([Ending(facts, started, outcome, report, delivery, seconds, time.monotonic())])[0]

    def finish_many(self, endings: Sequence[Ending]) -> list[bool]:
        """Record how attempts ended, all in one transaction; safe to repeat.

        What a run reported and Postgres does not take is left out: the run itself must still end.

        Returns:
            For each, False when the attempt had lost its run: nothing was changed but, if it had no row of its own, the
            run's history, which now says that it ran twice.
        """
        try:
            return self._finish_lightly(endings)
        except UniqueViolation:
            return self._finish_carefully(endings)
        except _ERRORS as error:
            if _is_away(error):
                raise
            return [self._finish_alone(ending) for ending in endings]

    def _finish_lightly(self, endings: Sequence[Ending]) -> list[bool]:
        """On the assumption that no run without a row has one: a double or repeated one breaks the transaction."""
        light = [ending for ending in endings if many.is_light(ending)]
        others = [ending for ending in endings if not many.is_light(ending)] if len(light) < len(endings) else []
        with self._wire.cursor(transaction=bool(others)) as cursor:
            if light:
                many.insert_light(cursor, light, worker_id=self._worker_id, shard=self._wire.slot)
            kept = self._finish_all(cursor, others) if others else set()
        return [many.is_light(ending) or many.attempt_of(ending) in kept for ending in endings] if others else [
            True
        ] * len(light)

    def _finish_carefully(self, endings: Sequence[Ending]) -> list[bool]:
        with self._wire.cursor(transaction=True) as cursor:
            kept = self._finish_all(cursor, endings)
        return [many.attempt_of(ending) in kept for ending in endings]

    def _finish_alone(self, ending: Ending) -> bool:
        try:
            return self._finish_carefully([ending])[0]
        except _ERRORS as error:
            if _is_away(error):
                raise
            logger.exception("ledger.report_refused", error=_first_line(error), run_id=str(ending.facts.id))
            bare = replace(ending, report=Report(), facts=replace(ending.facts, args={}))
            return self._finish_carefully([bare])[0]

    def _finish_all(self, cursor: Cursor, endings: Sequence[Ending]) -> set[tuple[UUID, int]]:
        """Which attempts have ended as they should, by this transaction or by an earlier one whose answer was lost."""
        recurring = sorted({ending.facts.job for ending in endings if ending.facts.recurring})
        if recurring:
            schedules.hold(cursor, recurring)
        now = time.monotonic()
        fresh = [ending for ending in endings if not ending.started.recorded]
        if fresh:
            begun = ((one.facts, one.started, now - one.ended + one.seconds) for one in fresh)
            many.begin(cursor, begun, worker_id=self._worker_id)
        kept = many.end(cursor, endings)
        self._follow_up(cursor, [ending for ending in endings if many.attempt_of(ending) in kept])
        lost = [ending for ending in endings if many.attempt_of(ending) not in kept]
        return kept | self._look_at_lost(cursor, lost) if lost else kept

    @staticmethod
    def _look_at_lost(cursor: Cursor, lost: Sequence[Ending]) -> set[tuple[UUID, int]]:
        ours = many.ours(cursor, lost)
        doubled = [one for one in lost if not one.started.recorded and many.attempt_of(one) not in ours]
        if doubled:
            many.declare_doubled(cursor, doubled)
        return ours

    def _follow_up(self, cursor: Cursor, endings: Sequence[Ending]) -> None:
        if not endings:
            return
        failing = [one for one in (_failing(ending) for ending in endings) if one is not None]
        over = [ending for ending in endings if not isinstance(ending.outcome, Retry | Interrupted)]
        released = [ending.facts for ending in over if ending.facts.single]
        if released:
            claims.release_many(cursor, released)
        kept = [(ending.facts, self._lease(ending.outcome)) for ending in endings if ending.facts.single]
        leases = [(facts, lease) for facts, lease in kept if lease is not None]
        if leases:
            claims.renew_many(cursor, leases)
        if failing:
            failures.record_many(cursor, failing)
        scheduled = [(one.facts.job, totals.NAMES[type(one.outcome)], one.seconds) for one in over if one.facts.recurring]
        if scheduled:
            schedules.ended_many(cursor, scheduled)
        totals.add_many(cursor, endings, shard=self._wire.slot)

    def _lease(self, outcome: Outcome) -> float | None:
        """How long a run that waits for its retry keeps its claim."""
        return outcome.delay + self._settings.pending_lease_seconds if isinstance(outcome, Retry) else None


def _plain(facts: Sequence[RunFacts]) -> dict[int, RunFacts]:
    """By index: the runs that need only their row to start, each of them once."""
    seen: set[UUID] = set()
    plain: dict[int, RunFacts] = {}
    for index, one in enumerate(facts):
        if one.single or one.concurrency is not None or one.rate is not None or one.id in seen:
            continue
        seen.add(one.id)
        plain[index] = one
    return plain


def _failing(ending: Ending) -> Failing | None:
    match ending.outcome:
        case Retry(failure, _):
            return Failing(ending.facts, ending.started.attempt, failure)
        case Failed(failure, reason):
            return Failing(ending.facts, ending.started.attempt, failure, reason)
        case _:
            return None


def _is_away(error: BaseException) -> bool:
    """True if the same call may succeed later. A value beyond Postgres's limits is an OperationalError too."""
    return isinstance(error, AWAY) and not isinstance(error, ProgramLimitExceeded)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _cursor(connection: Connection) -> Cursor:
    """The driver's cursor, in the same transaction."""
    return cast("Cursor", connection.connection.cursor())
