"""The queues there are, as these commands take them."""

from __future__ import annotations

from typing import Annotated

import typer

from callboard.loading import load_actors
from callboard.operations import queues
from callboard.settings import get_settings

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]


def require(queue: str) -> None:
    """Make sure that there is such a queue: a misspelt one would be paused without a word.

    Raises:
        NotFound: There is none; the message names those that are close.
    """
    load_actors(get_settings())
    queues.require(queue)
