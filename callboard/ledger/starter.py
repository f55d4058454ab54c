"""How attempts start, in one transaction: what needs only its row by one statement, the rest one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from callboard.ledger import claims, limits, runs, schedules, starts
from callboard.ledger.facts import Refused, Started, dumps
from callboard.ledger.outgoing import Outgoing, leave
from callboard.ledger.rows import event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Engine

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor
    from callboard.settings import Settings

# A message that comes while another worker still holds its run looks again after this long.
_ELSEWHERE_SECONDS = 2.0


class Starter:
    """Begins attempts on behalf of one worker process. Thread-safe."""

    def __init__(self, engine: Engine, worker_id: UUID, settings: Settings) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._settings = settings
        self._outgoing = Outgoing(settings)

    def start(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        """Begin an attempt of each run, all or, if it raises, none."""
        try:
            return self._start(facts)
        finally:
            leave()

    def _start(self, facts: Sequence[RunFacts]) -> list[Started | Refused]:
        plain = _plain(facts)
        answers: dict[int, Started | Refused] = {}
        with self._engine.begin() as connection:
            recurring = {one.job for one in facts if one.recurring}
            if recurring:
                schedules.hold(_cursor(connection), recurring)
            started = self._try(connection, plain.values())
            for index, one in plain.items():
                answers[index] = started.get(one.id) or self._refuse(connection, one)
            # In the order in which every transaction takes claims: no two wait for each other.
            rest = [(one.job, one.scope, one.id, index) for index, one in enumerate(facts) if index not in plain]
            for *_, index in sorted(rest):
                answers[index] = self._ask(connection, facts[index])
        return [answers[index] for index in range(len(facts))]

    def _ask(self, connection: Connection, facts: RunFacts) -> Started | Refused:
        wait = limits.wait(connection, facts)
        if wait is not None:
            limits.tell(connection, facts, wait.reason)
            return Refused("limit", delay=wait.seconds, detail=wait.reason)
        if facts.single:
            holder = claims.take(connection, facts, lease=self._settings.lease_seconds)
            if holder is not None:
                return self._overlap(connection, facts, holder)
        answer = self._try(connection, [facts]).get(facts.id) or self._refuse(connection, facts)
        if facts.single and isinstance(answer, Refused) and answer.reason == "ended":
            claims.release(connection, facts.job, facts.scope, facts.id)
        return answer

    def _try(self, connection: Connection, facts: Iterable[RunFacts]) -> dict[UUID, Started]:
        wanted = list(facts)
        if not wanted:
            return {}
        cursor = _cursor(connection)
        begun = starts.start(cursor, wanted, worker_id=self._worker_id, max_crashes=self._settings.max_crashes)
        recurring = {one.job for one in wanted if one.recurring and one.id in begun}
        if recurring:
            schedules.started(cursor, recurring)
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
            return Refused("ended", detail="cancelled" if place and place.state == "cancelled" else "")
        if place.state == "running":
            if place.held:
                return Refused("elsewhere", delay=_ELSEWHERE_SECONDS)
            note = dumps(event("lost", "delivered again, its worker is gone")) or ""
            runs.lose(connection, facts.id, facts.created_at, place.token or 0, note=note)
            return self._try(connection, [facts]).get(facts.id) or self._refuse(connection, facts)
        if place.cancelled:
            runs.end_pending(connection, facts.id, facts.created_at, state="cancelled", reason="cancelled")
            over(connection, facts, "cancelled", self._outgoing)
            return Refused("ended", detail="cancelled")
        if place.crashes >= self._settings.max_crashes:
            return Refused("poison", detail=str(place.crashes))
        return Refused("early", delay=max(place.early, 0.1)) if place.early > 0 else Refused("ended")


def over(connection: Connection, facts: RunFacts, outcome: str, outgoing: Outgoing) -> None:
    """Tell the schedule and whom it concerns, and give the claim back, of a run that ended without running.

    In the ticker's order. Whoever calls `leave` after the commit sends what is to be told.
    """
    if facts.recurring:
        schedules.ended(connection, facts.job, outcome=outcome, seconds=0.0)
    if facts.single:
        claims.release(connection, facts.job, facts.scope, facts.id)
    outgoing.ended(connection, facts, outcome)


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


def _cursor(connection: Connection) -> Cursor:
    """The driver's cursor, in the same transaction."""
    return cast("Cursor", connection.connection.cursor())
