"""`callboard queues pause`, `resume` and `limit`."""

from typing import Annotated

import typer

from callboard.loading import load_actors
from callboard.operations import queues
from callboard.settings import get_settings
from cli._options import usage, who
from cli._output import say
from cli.queues._known import QueueName

Bound = Annotated[
    str, typer.Argument(metavar="N|none", help="Messages that may be worked on at once, over all workers.")
]


def pause(queue: QueueName) -> None:
    """Hand out nothing of a queue; what runs goes on."""
    load_actors(get_settings())
    queues.pause(queue, who=who())
    say(f"{queue} is paused: its messages wait until `callboard queues resume {queue}`.")


def resume(queue: QueueName) -> None:
    """Hand out a paused queue's messages again."""
    load_actors(get_settings())
    queues.resume(queue, who=who())
    say(f"{queue} goes on.")


def limit(queue: QueueName, bound: Bound) -> None:
    """Bound how much of a queue runs at once, over all workers."""
    most = _number(bound)
    load_actors(get_settings())
    queues.limit(queue, most, who=who())
    told = "as many messages as there are threads" if most is None else f"at most {most} at once, over all workers"
    say(f"{queue} gives out {told}.")


def _number(bound: str) -> int | None:
    if bound.lower() == "none":
        return None
    if not bound.isdecimal() or int(bound) == 0:
        usage(f"{bound!r} is no limit: write a number from 1, or `none`; to hand out nothing, pause the queue")
    return int(bound)
