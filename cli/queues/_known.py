"""The queues there are, as these commands take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from callboard.loading import load_actors
from callboard.operations import queues
from callboard.settings import get_settings

if TYPE_CHECKING:
    from cli._output import Row

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]


def all_queues() -> dict[str, Row]:
    """Queues that a job declares or a run lies in, with what the ledger says of each."""
    load_actors(get_settings())
    return dict(queues.known())


def require(queue: str) -> None:
    """Make sure that there is such a queue: a misspelt one would be paused without a word.

    Raises:
        NotFound: There is none; the message names those that are close.
    """
    load_actors(get_settings())
    queues.require(queue)
