"""Cancellation: a run that was asked to stop, and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq import Middleware

from callboard.middleware._execution import execution_of
from callboard.outcome import Cancelled

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy


class Cancellation(Middleware):
    """A run that asked `cancelled`, was told yes and returned early has the outcome cancelled, not completed."""

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002 - hook
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,
    ) -> None:
        """Decide, unless the attempt raised."""
        execution = execution_of(message)
        if execution is not None and exception is None and execution.run.cancel_was_seen:
            execution.outcome = Cancelled("the job returned early")
