"""The reaper: runs of workers that died go elsewhere, or fail, as their job wants it.

A worker is dead when both its leases are over, the ledger's and the broker's: a server that was away for half a minute
could renew nobody's. A process without a broker (`broker_id` is empty) has the ledger's alone.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from dramatiq.errors import ConnectionClosed

from callboard import news
from callboard.failures import Kind, fingerprint
from callboard.ledger import claims, failures, runs, schedules, totals, workers
from callboard.ledger.facts import Report
from callboard.ledger.outgoing import Outgoing, facts_of_row, leave
from callboard.loops import Loop
from callboard.outcome import Failure
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, Engine, RowMapping

    from callboard.broker import Transport
    from callboard.ledger.facts import RunFacts
    from callboard.metering import Metering
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RESTARTED = "Server restarted during execution"


class Reaper(Loop):
    """Declares workers dead and takes their runs; their messages the broker gives out again by itself."""

    def __init__(
        self,
        engine: Engine,
        broker: Transport,
        settings: Settings,
        leading: Callable[[], bool],
        metering: Metering | None = None,
    ) -> None:
        super().__init__("reaper", min(settings.recovery_seconds, settings.lease_seconds / 5))
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._outgoing = Outgoing(settings)
        self._leading = leading
        self._metering = metering
        self._silent_since: dict[UUID, float] = {}

    def _tick(self) -> None:
        if not self._leading():
            return
        with self._engine.begin() as connection:
            silent = workers.silent(connection)
        dead = self._dead(silent)
        with self._engine.begin() as connection:
            gone = workers.declare_dead(connection, dead)
            for worker in gone:
                logger.warning(
                    "worker.lost", worker_id=str(worker["id"]), host=worker["host"], worker_pid=worker["pid"]
                )
            taken = runs.lost(connection)
            for row in taken:
                self._take(connection, row)
            if gone or taken:
                projects = {row["project_id"] or news.SYSTEM for row in taken}
                news.tell(connection, "jobs_changed", "job_failures_changed", "issues_changed", project_ids=projects)
        leave()

    def _dead(self, silent: Sequence[RowMapping]) -> set[UUID]:
        """Those of the silent workers that the broker has not heard of either; without its word, only those without."""
        inline = {row["id"] for row in silent if not row["broker_id"]}
        others = {row["id"]: row["broker_id"] for row in silent if row["broker_id"]}
        if not others:
            self._silent_since = {}
            return inline
        try:
            alive = self._broker.alive()
        except ConnectionClosed as error:
            logger.warning("reaper.broker_away", silent_workers=len(others), error=str(error).partition("\n")[0])
            return inline
        gone = {worker_id for worker_id, broker_id in others.items() if broker_id not in alive}
        return inline | (gone if self._broker.knows_contents else self._long_silent(gone))

    def _long_silent(self, workers_gone: set[UUID]) -> set[UUID]:
        """Those seen silent for another lease: RabbitMQ knows of no leases, and Postgres itself may have been away."""
        now = time.monotonic()
        self._silent_since = {one: self._silent_since.get(one, now) for one in workers_gone}
        return {one for one, since in self._silent_since.items() if now - since >= self._settings.lease_seconds}

    def _take(self, connection: Connection, row: RowMapping) -> None:
        actor = self._broker.actors.get(row["job"])
        if row["inline"] or (actor is not None and spec_of(actor).on_crash == "fail"):
            self._fail(connection, row, recurring=actor is not None and spec_of(actor).recurring)
            return
        note = runs.event("lost", datetime.now(UTC), "its worker died or fell silent")
        if runs.lose(connection, row["id"], row["created_at"], row["token"], note=note):
            claims.renew(connection, [row["id"]], lease=self._settings.pending_lease_seconds)
            logger.warning("run.lost", run_id=str(row["id"]), job=row["job"], correlation_id=row["correlation_id"])

    def _fail(self, connection: Connection, row: RowMapping, *, recurring: bool) -> None:
        facts = _facts(row)
        failure = _failure(facts)
        seconds = runs.finish(
            connection, facts, row["token"], state="failed", report=Report(), failure=failure, reason=RESTARTED
        )
        if seconds is None:
            return
        if recurring:
            schedules.ended(connection, row["job"], outcome="failed", seconds=float(seconds))
        claims.release(connection, row["job"], row["scope"], row["id"])
        buried = "worker lost" if facts.payload else None
        failing = failures.Failing(facts, row["attempt"], failure, buried, seconds=float(seconds))
        failures.record(connection, failing)
        totals.add(connection, job=row["job"], queue=row["queue"], outcome="failed", seconds=float(seconds))
        if self._metering is not None:
            self._metering.gave_up(row["job"], row["queue"], failure.error_type)
        self._outgoing.ended(connection, facts, "failed", error=RESTARTED)
        logger.warning("run.failed_with_its_worker", run_id=str(row["id"]), job=row["job"])


def _facts(row: RowMapping) -> RunFacts:
    facts = facts_of_row(row)
    facts.payload = bytes(row["payload"] or b"")
    return facts


def _failure(facts: RunFacts) -> Failure:
    return Failure(
        error_type="WorkerLost",
        error=RESTARTED,
        kind=Kind.TRANSIENT,
        retryable=True,
        label="recoverable",
        fingerprint=fingerprint(facts.job, "WorkerLost", RESTARTED, facts.concern),
        traceback="",
    )
