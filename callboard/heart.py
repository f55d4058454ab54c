"""The heart of a worker process: leases, cancel requests and progress, off the path of the jobs."""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from callboard.ledger import claims, runs, workers
from callboard.ledger.database import get_engine
from callboard.loops import Loop
from callboard.news import Gathered
from observability import tracing

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from dramatiq import Broker
    from sqlalchemy import Connection

    from callboard.ledger.recorder import Recorder
    from callboard.metering import Metering
    from callboard.middleware._execution import Execution
    from callboard.run import Run
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# Cancel requests reach a run within this many seconds.
_ROUND_SECONDS = 0.5
# A run's progress and counts are written at most so often.
_PROGRESS_SECONDS = 1.0
# The lease is renewed three times while it lasts, and no more rarely than this.
_LONGEST_PAUSE = 5.0
# A run without a row gets one once it has run for so long.
_LATE_SECONDS = 0.1


class Heart(Loop):
    """Renews the lease of this process and of its runs' claims; carries cancel requests in and progress out."""

    def __init__(
        self,
        broker: Broker | None,
        worker_id: UUID,
        settings: Settings,
        recorder: Recorder | None = None,
        metering: Metering | None = None,
        *,
        threads: int,
        host: str,
        queues: Collection[str] | None = None,
    ) -> None:
        super().__init__("heart", _ROUND_SECONDS)
        self._recorder = recorder
        self._news = Gathered() if recorder is None else recorder.news
        self._metering = metering
        self._reporting: set[str] = set()
        self.worker_id = worker_id
        self._broker = broker
        self._settings = settings
        self._threads = threads
        self._host = host
        self._queues = queues
        self._executions: dict[int, Execution] = {}
        self._saved: dict[UUID, tuple[object, float]] = {}
        self._counted: dict[UUID, object] = {}
        self._registered = False
        self._next_beat = 0.0

    def watch(self, execution: Execution) -> None:
        """An attempt begins here."""
        self._executions[id(execution)] = execution

    def unwatch(self, execution: Execution) -> None:
        """The attempt is over."""
        self._executions.pop(id(execution), None)
        if self._saved:
            self._saved.pop(execution.run.id, None)

    def start(self) -> None:
        """Register with the ledger and begin.

        The first beat comes before any job may start: an attempt of an unregistered worker would look lost.
        """
        self.tick()
        super().start()

    def _tick(self) -> None:
        executions = list(self._executions.values())
        watched = [execution.run for execution in executions]
        beat_due = time.monotonic() >= self._next_beat
        if not watched and not beat_due and not self._news:
            return
        self._begin_late(executions)
        self._count(executions)
        with self._news.told(get_engine()) as connection:
            if beat_due:
                self._beat(connection, watched)
            if watched:
                self._carry(connection, watched)
            if self._metering is not None:
                self._metering.answer(lambda attempt: runs.has_ended(connection, *attempt))
        if beat_due:
            self._next_beat = time.monotonic() + min(self._settings.lease_seconds / 3, _LONGEST_PAUSE)

    def _beat(self, connection: Connection, watched: list[Run]) -> None:
        lease = self._settings.lease_seconds
        queues = sorted(self._worked_on())
        if not self._registered:
            self._register(connection, queues)
        elif not workers.beat(connection, self.worker_id, lease=lease, busy=len(watched), queues=queues):
            logger.warning("worker.declared_dead", worker_id=str(self.worker_id), detail="its runs went elsewhere")
            workers.revive(connection, self.worker_id, lease=lease)
        claims.renew(connection, [run.id for run in watched], lease=lease)

    def _worked_on(self) -> Collection[str]:
        """The queues that this process takes from: those it was told to, or whatever is declared by now."""
        if self._queues is not None:
            return self._queues
        return () if self._broker is None else self._broker.get_declared_queues()

    def _register(self, connection: Connection, queues: list[str]) -> None:
        workers.register(
            connection,
            lease=self._settings.lease_seconds,
            id=self.worker_id,
            host=self._host,
            pid=os.getpid(),
            version=version("callboard"),
            broker_id=getattr(self._broker, "broker_id", ""),
            queues=queues,
            threads=self._threads,
        )
        self._registered = True
        self._news.add("jobs_changed", (None,))

    def _begin_late(self, executions: list[Execution]) -> None:
        """Give the light runs that run on a row."""
        late = time.monotonic() - _LATE_SECONDS
        rows = [one for one in executions if not one.started.recorded and one.began < late]
        if rows and self._recorder is not None:
            now = time.monotonic()
            self._recorder.begin_late([(one.facts, one.started, now - one.began) for one in rows])

    def _count(self, executions: list[Execution]) -> None:
        """Tell when the runs of jobs that report progress last got on; a new one does when it starts."""
        if self._metering is None:
            return
        self._metering.lost(tracing.dropped())
        for one in executions:
            run = one.run
            fresh = run.latest_progress is not None and run.latest_progress != self._counted.get(run.id)
            if fresh or (run.job in self._reporting and run.id not in self._counted):
                self._reporting.add(run.job)
                self._counted[run.id] = run.latest_progress
                self._metering.progressed(run.job, time.time())
        self._counted = {one.run.id: self._counted[one.run.id] for one in executions if one.run.id in self._counted}

    def _carry(self, connection: Connection, watched: list[Run]) -> None:
        asked = runs.cancelled_among(connection, [run.id for run in watched])
        for run in watched:
            if run.id in asked:
                run.request_cancel()
        self._save(connection, watched)

    def _save(self, connection: Connection, watched: list[Run]) -> None:
        """Write the progress and counts that are new; what comes within a second of the last write waits."""
        now = time.monotonic()
        fresh = []
        for run in watched:
            value = run.latest_progress, run.counts
            saved, at = self._saved.get(run.id, (None, 0.0))
            if any(value) and value != saved and now - at >= _PROGRESS_SECONDS:
                fresh.append((run, value))
        runs.save_progress(connection, [_row(run, progress, counts) for run, (progress, counts) in fresh])
        self._saved.update((run.id, (value, now)) for run, value in fresh)
        if fresh:
            self._news.add("jobs_changed", {one.facts.project_id for one in self._executions.copy().values()})

    def _last(self) -> None:
        try:
            self._news.add("jobs_changed", (None,))
            with self._news.told(get_engine()) as connection:
                workers.set_state(connection, self.worker_id, "stopped")
        except Exception as error:  # noqa: BLE001 - the lease ends by itself
            logger.warning("worker.goodbye_failed", error=str(error).partition("\n")[0])


def _row(run: Run, progress: object, counts: object) -> dict[str, object]:
    return {
        "id": run.id,
        "created_at": run.created_at,
        "token": run.token,
        "progress": progress,
        "counts": counts or None,
    }
