"""The reaper: runs of workers that died go elsewhere, or fail, as their job wants it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from callboard.failures import Kind, fingerprint
from callboard.ledger import claims, failures, runs, schedules, totals, workers
from callboard.ledger.facts import Report, RunFacts
from callboard.loops import Loop
from callboard.outcome import Failure
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine, RowMapping

    from callboard.broker import RedisBroker
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RESTARTED = "Server restarted during execution"


class Reaper(Loop):
    """Ends the leases of silent workers, takes their runs, and has the broker give their messages out again."""

    def __init__(self, engine: Engine, broker: RedisBroker, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("reaper", min(settings.recovery_seconds, settings.lease_seconds / 5))
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._leading = leading

    def _tick(self) -> None:
        if not self._leading():
            return
        with self._engine.begin() as connection:
            for worker in workers.expire(connection):
                logger.warning(
                    "worker.lost", worker_id=str(worker["id"]), host=worker["host"], worker_pid=worker["pid"]
                )
            for row in runs.lost(connection):
                self._take(connection, row)
        self._broker.sweep()

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
        facts, failure = _facts(row), _failure(row)
        seconds = runs.finish(
            connection, facts, row["token"], state="failed", report=Report(), failure=failure, reason=RESTARTED
        )
        if seconds is None:
            return
        issue_id = failures.record(connection, facts, row["attempt"], failure)
        if facts.payload:
            failures.bury(connection, facts, row["attempt"], failure, reason="worker lost", issue_id=issue_id)
        claims.release(connection, row["job"], row["scope"], row["id"])
        totals.add(connection, job=row["job"], queue=row["queue"], outcome="failed", seconds=float(seconds))
        if recurring:
            schedules.ended(connection, row["job"], outcome="failed", seconds=float(seconds))
        logger.warning("run.failed_with_its_worker", run_id=str(row["id"]), job=row["job"])


def _facts(row: RowMapping) -> RunFacts:
    return RunFacts(
        id=row["id"],
        created_at=row["created_at"],
        job=row["job"],
        queue=row["queue"],
        trigger=row["trigger"],
        correlation_id=row["correlation_id"],
        scope=row["scope"],
        args=row["args"] or {},
        payload=bytes(row["payload"] or b""),
    )


def _failure(row: RowMapping) -> Failure:
    return Failure(
        error_type="WorkerLost",
        error=RESTARTED,
        kind=Kind.TRANSIENT,
        retryable=True,
        label="recoverable",
        fingerprint=fingerprint(row["job"], "WorkerLost", RESTARTED, row["scope"]),
        traceback="",
    )
