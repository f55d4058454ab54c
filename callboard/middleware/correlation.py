"""Correlation: one id from the first cause to the last effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from dramatiq import Middleware

from callboard.envelope import KEY, stamp

if TYPE_CHECKING:
    from dramatiq import Broker, Message
    from dramatiq.broker import MessageProxy

_BOUND = ("correlation_id", "message_id", "run_id", "job", "queue")


class Correlation(Middleware):
    """Stamps what is sent with the sender's correlation id, and binds it to the log lines of what is processed."""

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:  # noqa: ARG002 - hook
        """Complete the message's envelope."""
        stamp(message.options, delay)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002 - hook
        """Bind the ids to every log line of this thread."""
        stamp(message.options, None)
        structlog.contextvars.bind_contextvars(
            correlation_id=message.options[KEY]["correlation_id"],
            message_id=message.message_id,
            run_id=message.message_id,
            job=message.actor_name,
            queue=message.queue_name,
        )

    def after_process_message(self, broker: Broker, message: MessageProxy, **_: object) -> None:  # noqa: ARG002 - hook
        """Unbind them."""
        structlog.contextvars.unbind_contextvars(*_BOUND)

    after_skip_message = after_process_message
