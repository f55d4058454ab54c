"""What a broker can tell of all queues at once, for whoever watches: what it cannot know is None, never 0."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from callboard.broker.redis import RedisBroker

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from callboard.broker.transport import Transport


class Load(NamedTuple):
    """Messages of one queue by where they are; ages in seconds."""

    ready: int | None = None
    claimed: int | None = None
    delayed: int | None = None
    orphaned: int | None = None
    oldest_ready: float | None = None
    overdue: float | None = None


class Held(NamedTuple):
    """What the broker said: the load by queue, which queues are paused, and its clock less this host's (seconds)."""

    loads: Mapping[str, Load]
    paused: Collection[str] | None
    clock_skew: float | None = None


def held(broker: Transport, queues: Sequence[str]) -> Held:
    """Ask the broker; the number of messages costs nothing.

    Raises:
        dramatiq.errors.ConnectionClosed: It cannot be reached.
        redis.RedisError: The same, or it refuses.
    """
    depths, paused = broker.depths(queues), broker.paused()
    if not broker.knows_contents:  # it tells what is ready; what others hold, and what waits, it does not
        return Held({queue: Load(ready=depth.ready) for queue, depth in depths.items()}, paused)
    overdue = _overdue(broker, queues) if isinstance(broker, RedisBroker) else {}
    loads = {
        queue: Load(
            depth.ready,
            depth.claimed - depth.orphaned,
            depth.delayed,
            depth.orphaned,
            depth.oldest_ready_seconds,
            overdue.get(queue),
        )
        for queue, depth in depths.items()
    }
    return Held(loads, paused, _skew(broker) if isinstance(broker, RedisBroker) else None)


def _overdue(broker: RedisBroker, queues: Sequence[str]) -> dict[str, float]:
    """How long the first delayed message of each queue has been due, by the server's clock; 0 when none is."""
    with broker.client.pipeline(transaction=False) as pipe:
        pipe.time()
        for queue in queues:
            pipe.zrange(f"{broker.namespace}:later:{queue}", 0, 0, withscores=True)
        (seconds, micros), *firsts = pipe.execute()
    now = seconds + micros / 1e6
    return {queue: _late(first, now) for queue, first in zip(queues, firsts, strict=True)}


def _late(first: Sequence[tuple[bytes, float]], now: float) -> float:
    return max(now - first[0][1] / 1000, 0.0) if first else 0.0


def _skew(broker: RedisBroker) -> float:
    """The server's clock is taken for read in the middle between question and answer."""
    asked = time.time()
    told: Any = broker.client.time()
    answered = time.time()
    return float(told[0] + told[1] / 1e6 - (asked + answered) / 2)
