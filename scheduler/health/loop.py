"""The loop: asks what is outside, looks at the queues and at the jobs.

Whether an issue is open stands in the ledger, so that a new leader goes on where the last one stopped. What cannot be
looked at, because a server is away or a query fails, is neither opened nor resolved. A fault of a check of ours never
becomes an issue: it is logged, and the other checks go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from dramatiq.errors import ConnectionClosed

from callboard import news
from callboard.broker import loads
from callboard.failures import IssueType, Kind, classify
from callboard.health import HealthCheck, health_checks
from callboard.ledger import issues, job_health
from callboard.ledger.issues import Sighting
from callboard.loops import Loop
from scheduler.health import _jobs
from scheduler.health._probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Engine

    from callboard.broker import Transport
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_BROKER = "broker"
_IDLE_SECONDS = 60.0


class HealthChecks(Loop):
    """Checks while this process leads, every `health_seconds`; 0: never."""

    def __init__(self, engine: Engine, broker: Transport, settings: Settings, leading: Callable[[], bool]) -> None:
        super().__init__("health", settings.health_seconds or _IDLE_SECONDS)
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._leading = leading
        self._probes: dict[str, Probe] = {}
        self._blind: set[str] = set()
        self._orphaned: set[str] = set()
        self._ill: dict[str, set[str]] = {}

    def _tick(self) -> None:
        if not self._settings.health_seconds:
            return
        for look in (self._look_outside, self._look_at_queues, self._look_at_jobs):
            if self._stop.is_set() or not self._leading():
                return
            self._try(look.__name__, look)

    def _try(self, name: str, look: Callable[[], None]) -> None:
        """One check that fails must not keep the others from theirs; it is told of once, not once a round."""
        try:
            look()
        except Exception as error:  # noqa: BLE001 - whatever it is
            report = logger.debug if name in self._blind else logger.warning
            mistake = classify(error).kind is not Kind.TRANSIENT  # an outage needs no stack
            report("health.not_checked", check=name, error=str(error).partition("\n")[0], exc_info=mistake)
            self._blind.add(name)
        else:
            self._blind.discard(name)

    def _look_outside(self) -> None:
        wanted = {_BROKER: HealthCheck(_BROKER, self._ask_broker, "critical", 10.0)} | dict(health_checks())
        self._probes = {
            name: self._probes[name] if name in self._probes else Probe(check, self._stop)
            for name, check in wanted.items()
        }
        for probe in self._probes.values():
            probe.begin()
        answers = {name: probe.answer() for name, probe in self._probes.items()}
        if self._stop.is_set():
            return  # who was not waited for has not failed
        found = [
            Sighting(name, wanted[name].severity, f"{name} is unavailable: {problem}")
            for name, problem in answers.items()
            if problem is not None
        ]
        self._settle(IssueType.DEPENDENCY_UNAVAILABLE, found)

    def _ask_broker(self) -> None:
        self._broker.depths(sorted(self._broker.get_declared_queues())[:1])

    def _look_at_queues(self) -> None:
        """A queue that has work and no live worker, in two looks one after the other: a deployment takes a moment."""
        try:
            held = loads.held(self._broker, sorted(self._broker.get_declared_queues()))
        except ConnectionClosed:
            return  # the broker has its own issue
        with self._engine.begin() as connection:
            consumed, awaited = job_health.consumed(connection), job_health.awaited_canaries(connection)
        waiting = {queue: _messages(load) - (queue in awaited) for queue, load in held.loads.items()}
        orphaned = {queue for queue, count in waiting.items() if count > 0 and queue not in consumed}
        found = [
            Sighting(queue, "critical", f"queue {queue} has {waiting[queue]} messages and no live worker")
            for queue in sorted(orphaned & self._orphaned)
        ]
        unsure, self._orphaned = orphaned - self._orphaned, orphaned
        self._settle(IssueType.QUEUE_HEALTH_DEGRADED, found, unsure)

    def _look_at_jobs(self) -> None:
        with self._engine.begin() as connection:
            job_health.bound(connection)
            found = list(_jobs.sightings(connection, self._settings))
        self._settle(IssueType.JOB_HEALTH_DEGRADED, found)

    def _settle(self, kind: IssueType, found: Sequence[Sighting], unsure: Collection[str] = ()) -> None:
        """Open what was found, resolve what was not; `unsure` stays as it is."""
        ill, known = {one.subject for one in found}, self._ill.get(kind, set())
        with self._engine.begin() as connection:
            issues.sight(connection, kind, found)
            healthy = issues.well(connection, kind, but=ill | set(unsure))
            if healthy or ill - known:
                news.tell(connection, "issues_changed")
        for one in found:
            if one.subject not in known:
                logger.warning("health.degraded", issue_type=kind, subject=one.subject, detail=one.title)
        for subject in healthy:
            logger.info("health.recovered", issue_type=kind, subject=subject)
        self._ill[kind] = ill


def _messages(load: loads.Load) -> int:
    return sum(count or 0 for count in (load.ready, load.claimed, load.orphaned, load.delayed))
