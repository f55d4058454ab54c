"""The queues there are; pause one, resume it, and bound how much of it runs at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import text

from callboard.broker import RedisBroker, Transport
from callboard.compose import get_broker
from callboard.errors import NotFound, Unsupported
from callboard.job import all_jobs
from callboard.ledger.database import transaction
from callboard.operations._audit import audit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from callboard.operations._audit import Who

_HEALTH = text("select * from board.queue_health")


def transport() -> Transport:
    """The broker of this process.

    Raises:
        Unsupported: It is a stock Dramatiq broker, which knows nothing of this.
    """
    broker = get_broker()
    if not isinstance(broker, Transport):
        raise Unsupported(
            f"the broker is dramatiq's {type(broker).__name__}; only one made by callboard.make_broker() can do this."
        )
    return broker


def known() -> dict[str, Mapping[str, Any]]:
    """Queues that a loaded job declares or a run lies in, by name, with the row of `board.queue_health` of each."""
    declared = {job.spec.queue for job in all_jobs().values()}
    with transaction() as connection:
        health = {row["queue"]: dict(row) for row in connection.execute(_HEALTH).mappings()}
    return {name: health.get(name, {}) for name in sorted(declared | set(health))}


def require(queue: str) -> None:
    """Make sure that there is such a queue: a misspelt one would be paused without a word.

    Raises:
        NotFound: There is none; the message names those that are close.
    """
    queues = known()
    if queue not in queues:
        close = difflib.get_close_matches(queue, queues, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`callboard queues` lists them."
        raise NotFound(f"No queue is called {queue!r}; {hint}")


def limits() -> Mapping[str, int] | None:
    """The bounds that hold over the whole fleet, by queue; None if this broker keeps none for the fleet."""
    broker = transport()
    if not isinstance(broker, RedisBroker):
        return None
    found = cast("dict[bytes, bytes]", broker.client.hgetall(f"{broker.namespace}:limits"))
    return {name.decode(): int(bound) for name, bound in found.items()}


def pause(queue: str, *, who: Who, why: str = "") -> None:
    """Hand out nothing of a queue; what runs goes on.

    Raises:
        NotFound: There is no such queue.
    """
    require(queue)
    transport().pause(queue)
    _note("pause", queue, who, why)


def resume(queue: str, *, who: Who, why: str = "") -> None:
    """Hand out a paused queue's messages again.

    Raises:
        NotFound: There is no such queue.
    """
    require(queue)
    transport().resume(queue)
    _note("resume", queue, who, why)


def limit(queue: str, most: int | None, *, who: Who, why: str = "") -> None:
    """Bound how many messages of a queue run at once, over all workers; None: as many as there are threads.

    Raises:
        NotFound: There is no such queue.
        Unsupported: This broker keeps no bound for the fleet.
    """
    require(queue)
    broker = transport()
    if limits() is None:
        raise Unsupported(
            f"{type(broker).__name__} keeps no limit over all workers; declare the jobs of {queue} with "
            "`concurrency=`: that one is kept by the ledger."
        )
    broker.set_limits({queue: most})
    _note("limit", queue, who, why, most=most)


def _note(verb: str, queue: str, who: Who, why: str, **detail: object) -> None:
    with transaction() as connection:
        audit(connection, who, f"queue.{verb}", ("queue", queue), why=why, detail=detail)
