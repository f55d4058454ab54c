"""Dead letters of messages that never got as far as a run: nobody knows the actor, or they cannot be read.

While new code is rolled out, workers of the old code are sent jobs that they do not know yet. So such a message is
given back for a while first, and another worker may take it.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from dramatiq import Middleware

from callboard.broker.transport import Transport
from callboard.envelope import KEY, facts_of, stamp
from callboard.ledger.database import get_engine
from callboard.ledger.facts import RunFacts
from callboard.ledger.recorder import Recorder
from callboard.middleware._execution import execution_of
from callboard.outcome import Acknowledge, Failure, Resend
from callboard.run import correlation_id_of
from callboard.settings import get_settings
from callboard.spec import JobSpec
from callboard.waiting import UNKNOWN_JOB

if TYPE_CHECKING:
    from dramatiq import Broker, Message, Worker
    from dramatiq.broker import MessageProxy

    from callboard.broker.delivery import Delivery
    from callboard.outcome import Settlement

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AGAIN_SECONDS = 30.0
# A message whose job is unknown here comes back after so long at first, and then after as long again as it has waited.
_FIRST_SECONDS, _LONGEST_SECONDS = 10.0, 30.0


class UnknownActor(Exception):  # noqa: N818 - what the dead letter says
    """No module that this worker loaded declares the actor."""


class UnreadableMessage(Exception):  # noqa: N818 - what the dead letter says
    """The bytes in the queue are no message."""


class DeadLetter(Middleware):
    """Keeps a rejected message without a run: its payload goes to the ledger, with the reason."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - hook
        """Take what the broker cannot read."""
        if isinstance(broker, Transport):
            broker.on_defect = _bury_bytes

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Let it wait for a worker that knows its job, then bury it; it comes back if the ledger does not answer."""
        if execution_of(message) is not None or message.actor_name in broker.actors:
            return
        own = message._message  # noqa: SLF001 - the proxied message
        facts = facts_of(own, _stand_in(message.actor_name, message.queue_name))
        pause = _pause(own, time.time()) if isinstance(broker, Transport) else 0.0
        if pause > 0:
            _tell(facts, pause)
            message.settlement = Resend(pause)  # type: ignore[attr-defined]  # ours
            return
        error = UnknownActor(
            f"no actor is called {message.actor_name!r}; load its module with CALLBOARD_ACTORS, then replay this letter"
        )
        if not _bury(facts, error, "unknown actor"):
            message.settlement = Resend(_AGAIN_SECONDS)  # type: ignore[attr-defined]  # ours


def _pause(message: Message[Any], now: float) -> float:
    """Seconds until the message is tried again; 0 when its grace is over. Since when it waits travels with it.

    It waits since a worker first refused it rather than since it was sent: it may have lain behind others for long.
    """
    stamp(message, None)
    envelope = message.options[KEY]
    since: float = min(envelope.get("unknown_since", now), now)  # a clock may be set back
    envelope |= {"unknown_since": since, "begun": True}  # and its run has a row from now on
    left = get_settings().unknown_job_grace_seconds - (now - since)
    return max(min(max(now - since, _FIRST_SECONDS), _LONGEST_SECONDS, left), 0.0)


def _tell(facts: RunFacts, pause: float) -> None:
    logger.info("run.unknown_job", job=facts.job, run_id=str(facts.id), retry_in_seconds=round(pause, 1))
    try:
        Recorder(get_engine(), uuid4(), get_settings()).tell(facts, UNKNOWN_JOB)
    except Exception as problem:  # noqa: BLE001 - the message waits all the same; the ledger only says why
        logger.warning("run.wait_not_written", job=facts.job, error=str(problem).partition("\n")[0])


def _stand_in(name: str, queue: str) -> JobSpec:
    """A spec for a job that nobody declared; what cannot be a name is replaced."""
    fits = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)[:90]
    place = re.sub(r"[^A-Za-z0-9_\-]", "_", queue)[:60]
    return JobSpec(name=f"{'' if fits[:1].isalpha() else '_'}{fits}", fn=_nothing, queue=place or "default")


def _bury_bytes(delivery: Delivery) -> Settlement | None:
    """Bury what is no message: the raw bytes become the letter's payload."""
    run_id = uuid4()
    facts = RunFacts(
        id=run_id,
        created_at=datetime.now(UTC),
        job="unreadable",
        queue=delivery.queue,
        trigger="send",
        correlation_id=correlation_id_of(run_id),
        payload=delivery.body,
        delivery=delivery.id,
    )
    buried = _bury(facts, UnreadableMessage(delivery.defect), "unreadable")
    return Acknowledge() if buried else None


def _bury(facts: RunFacts, error: Exception, reason: str) -> bool:
    failure = Failure.of(error, job=facts.job, scope="")
    try:
        Recorder(get_engine(), uuid4(), get_settings()).bury(facts, failure, reason=reason, attempt=0)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the message must not be lost
        logger.warning("dead_letter.postponed", job=facts.job, error=str(problem).partition("\n")[0])
        return False
    return True


def _nothing() -> None:
    """Stands for the function that nobody declared."""
