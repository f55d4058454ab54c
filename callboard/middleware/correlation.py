"""Correlation: one id from the first cause to the last effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq import Middleware

from callboard.envelope import stamp

if TYPE_CHECKING:
    from dramatiq import Broker, Message


class Correlation(Middleware):
    """Stamps what is sent with the sender's correlation id; log lines take it from the current run."""

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int) -> None:  # noqa: ARG002 - hook
        """Complete the message's envelope."""
        stamp(message, delay)
