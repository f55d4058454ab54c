"""`callboard queues pause`, `resume` and `limit`."""

from typing import Annotated

import typer

from cli._options import Why, usage
from cli._output import say
from cli.board import board
from cli.queues._known import QueueName

Bound = Annotated[
    str, typer.Argument(metavar="N|none", help="Messages that may be worked on at once, over all workers.")
]


def pause(queue: QueueName, *, why: Why = "") -> None:
    """Hand out nothing of a queue; what runs goes on."""
    board().change_queue(queue, "pause", why)
    say(f"{queue} is paused: its messages wait until `callboard queues resume {queue}`.")


def resume(queue: QueueName, *, why: Why = "") -> None:
    """Hand out a paused queue's messages again."""
    board().change_queue(queue, "resume", why)
    say(f"{queue} goes on.")


def limit(queue: QueueName, bound: Bound, *, why: Why = "") -> None:
    """Bound how much of a queue runs at once, over all workers."""
    most = _number(bound)
    board().limit_queue(queue, most, why)
    told = "as many messages as there are threads" if most is None else f"at most {most} at once, over all workers"
    say(f"{queue} gives out {told}.")


def _number(bound: str) -> int | None:
    if bound.lower() == "none":
        return None
    if not bound.isdecimal() or int(bound) == 0:
        usage(f"{bound!r} is no limit: write a number from 1, or `none`; to hand out nothing, pause the queue")
    return int(bound)
