"""The recorder: every start and every end of an attempt, fenced by the attempt's token, many in one transaction.

A message is settled only after `finish_many` returned, so nothing acknowledged is unrecorded. Whoever comes late with a
token that is not the run's current one changes nothing.

    start_many ──▶ running ──finish_many──▶ completed, failed, cancelled     an attempt that is written before it runs
                      ▲           ├───────▶ pending: a retry, or given back
                 begin_late       │
                      │           │
    no row: light ────┴───────────┘                                          a light one: one row, when it has ended

A row keeps the token of the attempt that ended last. So a batch that is sent again, because the answer to its commit
was lost, finds its own tokens there. Taking a run from a dead worker voids the token.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from callboard.ledger import endings as many
from callboard.ledger import failures, limits, runs
from callboard.ledger.facts import Ending, Refused
from callboard.ledger.finisher import Finisher
from callboard.ledger.outgoing import Outgoing, leave
from callboard.ledger.starter import Starter, over
from callboard.ledger.tokens import NEXT, Tokens
from callboard.ledger.wire import ERRORS, Wire, is_away, told_by
from callboard.news import Gathered
from callboard.outcome import Failed, Retry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Engine

    from callboard.ledger.facts import Report, RunFacts, Started
    from callboard.outcome import Failure, Outcome
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_FAILED = (Failed, Retry)  # `Failed | Retry` makes a union anew for every run
# A message whose start the ledger refuses to write comes again after this long.
_REFUSED_SECONDS = 2.0


class Recorder:
    """Writes attempts to the ledger on behalf of one worker process. Thread-safe.

    Every method raises one of `callboard.ledger.database.AWAY` when the ledger does not answer. Nothing is lost then:
    call it again.

    Attributes:
        news: What was written and no screen was told of yet.
    """

    def __init__(self, engine: Engine, worker_id: UUID, settings: Settings) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._wire = Wire(engine)
        self._tokens = Tokens(self._draw)
        self._starter = Starter(engine, worker_id, settings)
        self._finisher = Finisher(self._wire, worker_id, settings)
        self._outgoing = Outgoing(settings)
        self.news = Gathered()

    def close(self) -> None:
        """Give the recorder's own connection up; a later call makes a new one."""
        self._wire.close()

    def tokens(self) -> int:
        """A token for an attempt that starts without a row."""
        return self._tokens.take()

    def _draw(self) -> int:
        with self._wire.cursor() as cursor:
            ((first,),) = cursor.execute(f"select {NEXT}").fetchall()
            return int(first)

    def start(self, facts: RunFacts) -> Started | Refused:
        """Begin an attempt of the run that the message tells of."""
        return self._start([facts])[0]

    def _start(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        answers = self._starter.start(facts)
        self.news.add("jobs_changed", {one.project_id for one in facts})
        return answers

    def start_many(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        """Begin an attempt of each run, in one transaction; one that cannot be written is to come again later."""
        try:
            return self._start(facts)
        except ERRORS as error:
            if is_away(error):
                raise
            return [self._start_alone(one) for one in facts]

    def _start_alone(self, facts: RunFacts) -> Started | Refused:
        try:
            return self.start(facts)
        except ERRORS as error:
            if is_away(error):
                raise
            logger.exception("ledger.start_refused", error=told_by(error), run_id=str(facts.id), job=facts.job)
            return Refused("early", delay=_REFUSED_SECONDS)

    def begin_late(self, begun: Sequence[tuple[RunFacts, Started, float]]) -> list[bool]:
        """Give attempts that started without a row, the given seconds ago, their rows.

        Returns:
            For each, whether it was written, and then `recorded` is true; False when the run has a row already.
        """
        with self._wire.cursor() as cursor:
            written = many.begin(cursor, begun, worker_id=self._worker_id)
        self.news.add("jobs_changed", {facts.project_id for facts, *_ in begun})
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
            run's history, which then says that it ran twice.
        """
        kept = self._finisher.finish(endings)
        self.news.add("jobs_changed", {one.facts.project_id for one in endings})
        failed = {one.facts.project_id for one in endings if isinstance(one.outcome, _FAILED)}
        if failed:
            self._note_failures(failed)
        return kept

    def _note_failures(self, projects: Iterable[str | None]) -> None:
        self.news.add("job_failures_changed", projects)
        self.news.add("issues_changed", projects)

    def tell(self, facts: RunFacts, reason: str) -> None:
        """Say in the run's row why it waits, and write the row if there is none."""
        with self._engine.begin() as connection:
            limits.tell(connection, facts, reason)
        self.news.add("jobs_changed", (facts.project_id,))

    def bury(self, facts: RunFacts, failure: Failure, *, reason: str, attempt: int) -> bool:
        """Give up on a run that must not start: failed, with its failure, issue and dead letter."""
        try:
            return self._bury(facts, failure, reason=reason, attempt=attempt)
        finally:
            leave()

    def _bury(self, facts: RunFacts, failure: Failure, *, reason: str, attempt: int) -> bool:
        with self._engine.begin() as connection:
            runs.insert_pending(connection, facts)
            if not runs.end_pending(
                connection, facts.id, facts.created_at, state="failed", reason=reason, failure=failure
            ):
                return False
            over(connection, facts, "failed", self._outgoing)
            failures.record(connection, failures.Failing(facts, attempt, failure, reason))
        self.news.add("jobs_changed", (facts.project_id,))
        self._note_failures((facts.project_id,))
        return True
