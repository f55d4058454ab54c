"""What waits where: the broker's half and the ledger's half of every queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from callboard.operations import queues

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from callboard.broker import Depth

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue; None is what only the broker knows, when it does not answer. Ages in seconds.

    Attributes:
        ready: Messages that wait for a worker; `claimed` are with one, `delayed` wait for their time.
        orphaned: Messages that a worker holds who is gone.
        limit: How many may be worked on at once over all workers; None: as many as there are threads.
        pending: Durable runs that may start; `waiting` are between two attempts.
        dead: Open dead letters.
        workers: Worker processes that take the queue.
    """

    queue: str
    ready: int | None
    claimed: int | None
    delayed: int | None
    orphaned: int | None
    oldest_ready_seconds: float | None
    paused: bool | None
    limit: int | None
    pending: int
    waiting: int
    running: int
    oldest_pending_at: datetime | None
    dead: int
    workers: int


@dataclass(frozen=True)
class _Held:
    """What the broker says; None is not known."""

    depths: Mapping[str, Depth] = field(default_factory=dict)
    paused: Collection[str] | None = None
    limits: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Queues:
    """All queues; `broker_error` says why the broker's half is unknown, empty when it answered."""

    queues: list[QueueView]
    broker_error: str = ""


def listing() -> Queues:
    """Every queue that a loaded job declares or a run lies in."""
    known = queues.known()
    held, error = _ask(list(known))
    return Queues([_view(name, health, held) for name, health in known.items()], error)


def _ask(names: list[str]) -> tuple[_Held, str]:
    """What the broker says; nothing if it is away, for the ledger's half is worth showing all the same."""
    try:
        broker = queues.transport()
        return _Held(broker.depths(names), broker.paused(), queues.limits() or {}), ""
    except Exception as error:  # noqa: BLE001 - said aloud, and shown as unknown
        _log.warning("queues.broker_away", error=str(error))
        return _Held(), str(error) or type(error).__name__


def _view(name: str, health: Mapping[str, Any], held: _Held) -> QueueView:
    depth = held.depths.get(name)
    return QueueView(
        queue=name,
        ready=None if depth is None else depth.ready,
        claimed=None if depth is None else depth.claimed - depth.orphaned,
        delayed=None if depth is None else depth.delayed,
        orphaned=None if depth is None else depth.orphaned,
        oldest_ready_seconds=None if depth is None else depth.oldest_ready_seconds,
        paused=None if held.paused is None else name in held.paused,
        limit=None if held.limits is None else held.limits.get(name),
        pending=health.get("pending", 0),
        waiting=health.get("waiting", 0),
        running=health.get("running", 0),
        oldest_pending_at=health.get("oldest_pending_at"),
        dead=health.get("dead", 0),
        workers=health.get("consumers", 0),
    )
