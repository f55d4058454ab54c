"""The engine's own job that replays many dead letters: one run for each bulk replay that was left to the workers.

What was asked for and how far it is stand in a row of `board.bulk_replays`, moved in the transaction of each batch; so
a run that is killed, given back by a worker that stops, or tried again goes on where it was. As the job that sends
notifications it is an actor and no `Job`, and every process that loads actors declares it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.engine_actor import EngineActor
from callboard.ledger.bulk_replays import NAME, QUEUE
from callboard.retry import Backoff
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from dramatiq import Broker

__all__ = ["MOST_AT_ONCE", "NAME", "QUEUE", "BulkReplayActor", "declare"]

#: As many take place at once, in the whole fleet: each keeps a thread of a worker busy, for hours at a low rate.
MOST_AT_ONCE = 2
# For about four and a half hours without the broker or the ledger; what was done stays done.
_RETRY = Backoff(max_retries=11, base=10.0, cap=3600.0)
_TIME_LIMIT_SECONDS = 7 * 86_400.0


class BulkReplayActor(EngineActor[[int], None]):
    """See the top of this module."""


def declare(broker: Broker) -> BulkReplayActor:
    """The job of this broker, declared at the first call."""
    known = broker.actors.get(NAME)
    if isinstance(known, BulkReplayActor):
        return known
    spec = JobSpec(
        name=NAME,
        fn=_replay,
        queue=QUEUE,
        retry=_RETRY,
        time_limit=_TIME_LIMIT_SECONDS,
        durable=True,
        concurrency=MOST_AT_ONCE,
        label="Replay dead letters",
    )
    return BulkReplayActor.of(spec, broker)


def _replay(replay: int) -> None:
    """Replay the dead letters of one bulk replay."""
    from callboard.operations._bulk_run import carry_out  # noqa: PLC0415 - a worker that replays nothing pays nothing

    carry_out(replay)
