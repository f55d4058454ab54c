"""The broker as these commands need it, and the queues there are."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, cast

import typer
from sqlalchemy import text

from callboard import get_broker
from callboard.broker import RedisBroker, Transport
from callboard.errors import NotFound
from callboard.ledger.database import transaction
from callboard.loading import load_actors
from callboard.settings import get_settings
from cli._options import usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli._output import Row

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]

_HEALTH = text("select * from board.queue_health")


def transport() -> Transport:
    """The broker of the settings.

    Raises:
        typer.BadParameter: It is a stock Dramatiq broker, which knows nothing of this.
    """
    broker = get_broker()
    if not isinstance(broker, Transport):
        usage(f"the broker is dramatiq's {type(broker).__name__}; only one made by callboard.make_broker() can do this")
    return broker


def all_queues() -> dict[str, Row]:
    """Queues that a job declares or a run lies in, with what the ledger says of each."""
    declared = {job.spec.queue for job in load_actors(get_settings()).values()}
    with transaction() as connection:
        health = {row["queue"]: cast("Row", dict(row)) for row in connection.execute(_HEALTH).mappings()}
    return {name: health.get(name, {}) for name in sorted(declared | set(health))}


def require(queue: str) -> None:
    """Make sure that there is such a queue: a misspelt one would be paused without a word.

    Raises:
        NotFound: There is none; the message names those that are close.
    """
    known = all_queues()
    if queue not in known:
        close = difflib.get_close_matches(queue, known, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`callboard queues` lists them."
        raise NotFound(f"No queue is called {queue!r}; {hint}")


def limits(broker: Transport) -> Mapping[str, int] | None:
    """The bounds that hold over the whole fleet, by queue; None if this broker keeps none for the fleet."""
    if not isinstance(broker, RedisBroker):
        return None
    found = cast("dict[bytes, bytes]", broker.client.hgetall(f"{broker.namespace}:limits"))
    return {name.decode(): int(bound) for name, bound in found.items()}
