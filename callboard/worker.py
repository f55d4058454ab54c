"""One worker process, from its first connection to its last acknowledgement."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import structlog
from dramatiq import Worker

from callboard.broker import get_broker
from callboard.ledger.database import dispose, transaction
from callboard.loading import load_actors

if TYPE_CHECKING:
    from collections.abc import Collection

    from callboard.settings import Settings

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# After the grace the jobs are interrupted; this much longer they have to unwind.
_UNWIND_SECONDS = 2.0


def run_worker(settings: Settings, *, queues: Collection[str] = ()) -> None:
    """Work until SIGTERM or SIGINT; then let running jobs end within the grace, and give back what was not started.

    Args:
        settings: Threads and times.
        queues: Only these; empty: those of the settings, or else every declared queue.

    Raises:
        DeclarationError: An actor module cannot be loaded, or no job declares one of the queues.
        LookupError, OperationalError: The ledger cannot be reached.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())  # a second signal changes nothing
    broker = get_broker()
    load_actors(settings)
    with transaction():
        pass  # Dramatiq only logs it when a middleware cannot boot: without a ledger, end now and be started again
    broker.emit_after("process_boot")
    wanted = set(queues or settings.queues)
    worker = Worker(broker, queues=wanted or None, worker_threads=settings.worker_threads, worker_timeout=100)
    worker.start()
    logger.info(
        "worker.started", queues=sorted(wanted or broker.get_declared_queues()), threads=settings.worker_threads
    )
    stopping.wait()
    logger.info("worker.stopping")
    worker.stop(timeout=int((settings.shutdown_grace_seconds + _UNWIND_SECONDS) * 1000))
    broker.close()
    dispose()
    logger.info("worker.stopped")
