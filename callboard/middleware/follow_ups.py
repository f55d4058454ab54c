"""Follow-ups: what a finished message sends on, never lost.

Dramatiq's own Callbacks and Pipelines send from a hook whose errors are swallowed: with the broker away at that moment
the next step is gone. These do the same, and what the broker does not take becomes a pending run in the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq import Message
from dramatiq.middleware import Callbacks as StockCallbacks
from dramatiq.middleware import Pipelines as StockPipelines

from callboard.dispatch import send_surely
from callboard.middleware._execution import execution_of
from callboard.outcome import PutOff

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy


class Callbacks(StockCallbacks):
    """Dramatiq's `on_success` and `on_failure`."""

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401 - hook
        exception: BaseException | None = None,
    ) -> None:
        """Send the message to the actor that wants to hear of it."""
        execution = execution_of(message)
        if execution is not None and isinstance(execution.outcome, PutOff):
            return
        name = "on_success" if exception is None else "on_failure"
        target = message.options.get(name) or broker.get_actor(message.actor_name).options.get(name)
        if target:
            told = result if exception is None else {"type": type(exception).__name__, "message": str(exception)}
            send_surely(broker, broker.get_actor(target).message(message.asdict(), told))


class Pipelines(StockPipelines):
    """Dramatiq's pipelines."""

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401 - hook
        exception: BaseException | None = None,
    ) -> None:
        """Send the next step, with the result as its last argument unless it ignores that."""
        target = message.options.get("pipe_target")
        if target is None or exception is not None or message.failed:
            return
        following: Message[Any] = Message(**target)
        ignore = following.options.get("pipe_ignore") or broker.get_actor(message.actor_name).options.get("pipe_ignore")
        if not ignore:
            following = following.copy(args=(*following.args, result))
        send_surely(broker, following, delay=following.options.get("delay"))
