"""The scheduler process: periodiq's Scheduler, with a leader, a ledger and recovery loops."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import periodiq
import structlog
from prometheus_client import REGISTRY
from sqlalchemy.exc import DBAPIError

from callboard import get_broker
from callboard.broker import Transport
from callboard.ledger.database import database_url, dispose, get_engine, make_engine
from callboard.loading import load_actors
from callboard.metering import Metering
from observability import tracing
from observability.server import MetricsServer
from scheduler.canary import Canaries
from scheduler.health import HealthChecks
from scheduler.janitor import Janitor
from scheduler.leader import Leader
from scheduler.reaper import Reaper
from scheduler.reconciler import Reconciler
from scheduler.retrier import Retrier
from scheduler.ticker import Ticker
from scheduler.trends import Trends

if TYPE_CHECKING:
    from collections.abc import Callable

    from callboard.loops import Loop
    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# A leader looks at the clock at least this often, so that a step of the clock or a lost session is noticed.
_LONGEST_NAP = 1.0


class Scheduler(periodiq.Scheduler):
    """Extends `periodiq.Scheduler`: the same actors (`periodic`), the same two calls, another idea of what a tick is.

    Args:
        broker: Where the actors are, and where runs are sent.
        settings: Poll and recovery times.
        metering: What counts, if anything does.
        clock: Says what time it is, in UTC.
    """

    def __init__(
        self,
        broker: Transport,
        settings: Settings,
        *,
        metering: Metering | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(actors=[actor for actor in broker.actors.values() if "periodic" in actor.options])
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._engine = make_engine(database_url(settings), pool_size=5, application="callboard-scheduler")
        self._leader = Leader(self._engine)
        self._metering = metering
        self._ticker = Ticker(broker, metering)
        leading = self._is_leading
        self._loops: list[Loop] = [
            Reaper(self._engine, broker, settings, leading, metering),
            Reconciler(self._engine, broker, settings, leading),
            Janitor(self._engine, settings, leading),
            Canaries(self._engine, broker, settings, leading),
            Trends(self._engine, leading),
            HealthChecks(self._engine, broker, settings, leading),
            Retrier(settings, leading),
        ]

    def _is_leading(self) -> bool:
        return self._leader.leading

    @property
    def leading(self) -> bool:
        """True while this process is the one that fires."""
        return self._leader.leading

    def stop(self) -> None:
        """Make `loop` return; may be called from a signal handler, and twice."""
        self._stop.set()

    def loop(self) -> None:
        """Lead, or wait for the chance to, until `stop`."""
        try:
            while not self._stop.is_set():
                self._stop.wait(self._round())
        finally:
            for loop in self._loops:
                loop.stop()
            self._leader.resign()
            self._engine.dispose()

    def _round(self) -> float:
        """One look at the clock; returns how long to sleep, in seconds."""
        pause = self._look()
        if self._metering is not None:
            self._metering.leads(leads=self._leader.leading)
        return pause

    def _look(self) -> float:
        try:
            if not self._leader.leading:
                if not self._leader.try_lead():
                    return self._settings.leader_poll_seconds
                self._take_over()
            return self.schedule()
        except DBAPIError as error:
            logger.warning("scheduler.ledger_away", error=str(error).partition("\n")[0])
            self._leader.resign()
            return self._settings.leader_poll_seconds

    def _take_over(self) -> None:
        self._ticker.declare(self._leader.connection, self._clock())
        logger.info("scheduler.started", schedules=self._ticker.jobs)
        for loop in self._loops:
            loop.start()

    def schedule(self) -> float:
        """Deal with all that is due; returns the seconds until the next look, at most one."""
        self._leader.check()
        self._ticker.tick(self._leader.connection, self._clock())
        if self._metering is not None:
            self._metering.ticked(self._clock().timestamp())
        due = self._ticker.next_due()
        if due is None:
            return _LONGEST_NAP
        return min(max((due - self._clock()).total_seconds(), 0.0), _LONGEST_NAP)


def run(settings: Settings) -> None:
    """Be a scheduler until SIGTERM or SIGINT.

    Raises:
        DeclarationError: An actor module cannot be loaded.
        TypeError: The broker is none of Callboard's own, which the recovery loops need.
    """
    broker = get_broker()
    load_actors(settings)
    if not isinstance(broker, Transport):
        raise TypeError(
            f"The scheduler needs a broker made by callboard.make_broker(), not dramatiq's {type(broker).__name__}."
        )
    metering = Metering.of(settings)
    scheduler = Scheduler(broker, settings, metering=metering)
    server = None if metering is None else _serve(settings, scheduler)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: scheduler.stop())
    tracing.start("scheduler")
    get_engine()
    scheduler.loop()
    if server is not None:
        server.stop()
    broker.close()
    dispose()
    tracing.stop()


def _serve(settings: Settings, scheduler: Scheduler) -> MetricsServer | None:
    """Serve what is counted here. A standby on the same machine finds the port taken, and schedules all the same."""
    server = MetricsServer(
        REGISTRY,
        host=settings.metrics_host,
        port=settings.scheduler_metrics_port,
        ready=lambda: None if scheduler.leading else "another scheduler leads",
    )
    try:
        server.start()
    except OSError as error:
        logger.warning("metrics.not_served", error=str(error))
        return None
    logger.info("metrics.served", url=f"{server.url}/metrics")
    return server
