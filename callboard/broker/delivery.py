"""What brokers and workers hand each other: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dramatiq import Message


class Lane(NamedTuple):
    """Queues that share one set of threads, and how many messages these can take now."""

    queues: Sequence[str]
    room: int


class Depth(NamedTuple):
    """Messages of one queue by where they are, and since when the oldest ready one waits (seconds).

    `orphaned` are those among the claimed whose worker has lost its lease.
    """

    ready: int
    claimed: int
    delayed: int
    oldest_ready_seconds: float
    orphaned: int = 0


class Delayed(NamedTuple):
    """A message that waits for its time: the broker's id of it, its body, and the seconds until it is due."""

    delivery: str
    body: bytes
    seconds: float


@dataclass(slots=True, eq=False)
class Delivery:
    """One message in the hands of this process, to be settled once.

    Attributes:
        id: The broker's id of it: `<message id>.<retries>`, see `callboard.envelope.delivery_id`.
        queue: Where it was taken from.
        body: The bytes as they were enqueued.
        message: What they say; None when they cannot be read, and then `defect` says why.
        crashes: How often it was given out to a worker whose lease then ended.
    """

    id: str
    queue: str
    body: bytes
    message: Message[Any] | None
    crashes: int = 0
    defect: str = ""
