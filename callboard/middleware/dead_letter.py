"""Dead letters of messages that never got as far as a run: nobody knows the actor, or they cannot be read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from dramatiq import Middleware

from callboard.broker.transport import Transport
from callboard.envelope import facts_of
from callboard.ledger.database import get_engine
from callboard.ledger.facts import RunFacts
from callboard.ledger.recorder import Recorder
from callboard.middleware._execution import execution_of
from callboard.outcome import Acknowledge, Failure, Resend
from callboard.run import correlation_id_of
from callboard.settings import get_settings
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

    from callboard.broker.delivery import Delivery
    from callboard.outcome import Settlement

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AGAIN_SECONDS = 30.0


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
        """Bury it; if the ledger does not answer, look at the message again in half a minute."""
        if execution_of(message) is not None or message.actor_name in broker.actors:
            return
        error = UnknownActor(
            f"no actor is called {message.actor_name!r}; load its module with CALLBOARD_ACTORS, then replay this letter"
        )
        facts = facts_of(message._message, _stand_in(message.actor_name, message.queue_name))  # noqa: SLF001 - the proxied message
        if not _bury(facts, error, "unknown actor"):
            message.settlement = Resend(_AGAIN_SECONDS)  # type: ignore[attr-defined]  # ours


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
