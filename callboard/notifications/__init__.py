"""The engine's own job that sends notifications: one run for each, in a queue of its own.

Who is told what is decided where runs end, in `callboard.ledger.outgoing`; this package is how. As the canary, the job
is an actor and no `Job`: no listing of jobs has it, and every process that loads actors declares it, since a worker
must know an actor whose messages others send. Its runs, failures and dead letters are shown as any other's; nobody is
told of them by a notification, which would be told of in its turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.engine_actor import EngineActor
from callboard.ledger.outgoing import NAME, QUEUE
from callboard.retry import Backoff
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from dramatiq import Broker

    from callboard.spec import Policy

__all__ = ["NAME", "QUEUE", "RETRY", "Notify", "declare"]

#: For about four and a half hours: a mail server may be away for a while, and older news is none.
RETRY = Backoff(max_retries=11, base=10.0, cap=3600.0)
_TIME_LIMIT_SECONDS = 120.0


class Notify(EngineActor[[int], None]):
    """See the top of this module."""


def declare(broker: Broker, *, retry: Policy = RETRY) -> Notify:
    """The job of this broker, declared at the first call."""
    known = broker.actors.get(NAME)
    if isinstance(known, Notify):
        return known
    spec = JobSpec(
        name=NAME,
        fn=_notify,
        queue=QUEUE,
        retry=retry,
        time_limit=_TIME_LIMIT_SECONDS,
        durable=True,
        label="Send a notification",
    )
    return Notify.of(spec, broker)


def _notify(notification: int) -> None:
    """Send one notification."""
    from callboard.notifications.sending import deliver  # noqa: PLC0415 - a worker that sends nothing pays nothing

    deliver(notification)
