"""One worker process, from its first connection to its last acknowledgement."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from typing import TYPE_CHECKING

import structlog

from callboard.broker import Transport
from callboard.compose import get_broker
from callboard.errors import DeclarationError
from callboard.ledger.database import dispose, transaction
from callboard.loading import load_actors
from callboard.worker.lane import LanePlan
from callboard.worker.worker import Worker
from observability import tracing

if TYPE_CHECKING:
    from collections.abc import Collection

    from callboard.settings import Settings

__all__ = ["LanePlan", "Worker", "plan_lanes", "run_worker"]

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# After the grace the jobs are interrupted; this much longer they have to unwind.
_UNWIND_SECONDS = 2.0
# Objects between two looks for cyclic garbage: a message makes some 40 that live as long as it does, and no cycles.
_GARBAGE = 20_000
# Threads that wait for an answer get the interpreter back within this long while others compute (Python's is 5 ms).
_SWITCH_SECONDS = 0.001


def run_worker(settings: Settings, *, queues: Collection[str] = ()) -> None:
    """Work until SIGTERM or SIGINT; then let running jobs end within the grace, and give back what was not started.

    Args:
        settings: Threads, lanes and times.
        queues: Only these; empty: those of the settings, or else every declared queue.

    Raises:
        DeclarationError: An actor module cannot be loaded, or no job declares one of the queues.
        UnsafeBroker: The broker's server would lose or evict messages.
        LookupError, OperationalError: The ledger cannot be reached.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())  # a second signal changes nothing
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.set_threshold(_GARBAGE, 20, 20)
    broker = get_broker()
    if not isinstance(broker, Transport):
        raise DeclarationError(f"callboard's worker needs a callboard broker, not {type(broker).__name__}.")
    load_actors(settings)
    with transaction():
        pass  # Dramatiq only logs it when a middleware cannot boot: without a ledger, end now and be started again
    broker.alive()  # the same for a broker that is not safe, or not there
    broker.emit_after("process_boot")
    lanes = plan_lanes(settings, _known(broker, queues or settings.queues))
    worker = Worker(broker, lanes)
    worker.start()
    gc.freeze()  # what is loaded stays: it need not be looked at again
    logger.info("worker.started", queues=sorted(queue for lane in lanes for queue in lane.queues), lanes=len(lanes))
    stopping.wait()
    logger.info("worker.stopping")
    clean = worker.stop(settings.shutdown_grace_seconds + _UNWIND_SECONDS)
    broker.close()
    dispose()
    tracing.stop()  # last: a back end for traces that does not answer delays nobody's goodbye
    logger.info("worker.stopped", clean=clean)


def _known(broker: Transport, queues: Collection[str]) -> Collection[str]:
    declared = broker.get_declared_queues()
    unknown = sorted(set(queues) - declared)
    if unknown:
        raise DeclarationError(
            f"no job declares queue {', '.join(map(repr, unknown))}; declared are {', '.join(sorted(declared))}."
        )
    return queues or declared


def plan_lanes(settings: Settings, queues: Collection[str]) -> list[LanePlan]:
    """The lanes of the settings, cut down to `queues`, and one of `worker_threads` for what they do not name."""
    wanted = set(queues)
    named = [LanePlan(lane.name, tuple(sorted(wanted & set(lane.queues))), lane.threads) for lane in settings.lanes]
    rest = sorted(wanted - {queue for lane in named for queue in lane.queues})
    plans = [lane for lane in named if lane.queues]
    return [*plans, LanePlan("main", tuple(rest), settings.worker_threads)] if rest or not plans else plans
