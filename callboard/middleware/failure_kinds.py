"""Failure kinds: what an exception is, decided once and before anybody acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq import Middleware

from callboard.middleware._execution import execution_of
from callboard.outcome import Failure

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy


class FailureKinds(Middleware):
    """Gives a failed attempt its `Failure`."""

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002 - hook
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,
    ) -> None:
        """Classify the exception."""
        execution = execution_of(message)
        if execution is not None and exception is not None:
            execution.failure = Failure.of(exception, job=execution.spec.name, scope=execution.facts.concern)
