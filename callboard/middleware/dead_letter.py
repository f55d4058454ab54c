"""Dead letters of messages that never got as far as a run: nobody knows the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from dramatiq import Middleware

from callboard.envelope import facts_of
from callboard.ledger.database import get_engine
from callboard.ledger.recorder import Recorder
from callboard.middleware._execution import execution_of
from callboard.outcome import Failure, Resend
from callboard.settings import get_settings
from callboard.spec import JobSpec

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AGAIN_SECONDS = 30.0


class UnknownActor(Exception):  # noqa: N818 - what the dead letter says
    """No module that this worker loaded declares the actor."""


class DeadLetter(Middleware):
    """Keeps a rejected message without a run: its payload goes to the ledger, with the reason."""

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Bury it; if the ledger does not answer, look at the message again in half a minute."""
        if execution_of(message) is not None or message.actor_name in broker.actors:
            return
        error = UnknownActor(
            f"no actor is called {message.actor_name!r}; load its module with CALLBOARD_ACTORS, then replay this letter"
        )
        spec = JobSpec(name=message.actor_name, fn=_nothing, queue=message.queue_name.removesuffix(".DQ"))
        facts = facts_of(message._message, spec)  # noqa: SLF001 - the proxied message
        failure = Failure.of(error, job=facts.job, scope="")
        recorder = Recorder(get_engine(), uuid4(), get_settings())
        try:
            recorder.bury(facts, failure, reason="unknown actor", attempt=0)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the message must not be lost
            logger.warning("dead_letter.postponed", actor=message.actor_name, error=str(problem).partition("\n")[0])
            message.settlement = Resend(_AGAIN_SECONDS)  # type: ignore[attr-defined]  # ours


def _nothing() -> None:
    """Stands for the function that nobody declared."""
