"""The canary: a job that does nothing, sent to every declared queue once a minute; that it returns is what it tells.

It takes the way of every other job, from the scheduler through the broker, a worker's thread and its group commit to
the ledger, so a queue whose canary returns works from end to end, whatever its own jobs are doing. Three things keep it
from disturbing anybody:

- *One at a time.* A queue gets no canary while the broker still holds its last one, and none while it is paused: a
  queue without workers does not fill up with canaries. It goes first (`PRIORITY`), so that it tells whether the queue
  works and not how long it is; for that there is `callboard_queue_oldest_ready_age_seconds`.
- *No rows kept.* A run row for each would be 5 million in 90 days with 40 queues. So the scheduler's loop reads the
  success out of the row, writes it into the queue's one row in `board.canaries`, and deletes the run, a few seconds
  after it ended. Not recording canaries at all would be cheaper, but then they would not test the ledger.
- *No objective*, no alert on failures, no mention among the jobs: it is an actor, not a `Job`. Its attempts are counted
  by workers as those of any actor.

It is declared by every process that loads actors, also where `CALLBOARD_CANARY_SECONDS` is 0 and nothing is sent: a
worker must know an actor whose messages others may send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.engine_actor import EngineActor
from callboard.envelope import KEY
from callboard.retry import NoRetry
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from dramatiq import Broker, Message

NAME = "callboard_canary"
#: Below every job's, so that it goes first.
PRIORITY = -1000
# It does nothing: what takes longer is stuck before it.
_TIME_LIMIT_SECONDS = 30.0


class Canary(EngineActor[[], None]):
    """See the top of this module."""


def _sing() -> None:
    """Return, which is all that is asked."""


def declare(broker: Broker) -> Canary | None:
    """The canary of this broker, declared at the first call; None while no queue is declared.

    It is no job of one queue. That an actor must have one gives it the first; `message` sends it to any.
    """
    known = broker.actors.get(NAME)
    if isinstance(known, Canary):
        return known
    queues = broker.get_declared_queues()
    if not queues:
        return None
    spec = JobSpec(
        name=NAME,
        fn=_sing,
        queue=min(queues),
        retry=NoRetry(),
        time_limit=_TIME_LIMIT_SECONDS,
        priority=PRIORITY,
        log_level="debug",
    )
    return Canary.of(spec, broker)


def message(canary: Canary, queue: str) -> Message[None]:
    """A canary for one queue, of any kind."""
    return canary.message().copy(queue_name=queue, options={KEY: {"trigger": "schedule"}})
