"""Tracing: a span for each sending and each attempt, where OTEL_* asks for them; else nothing but one look a message.

See `observability.tracing` for how it is switched on, and `observability.tracing.spans` for what the spans are.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dramatiq
from dramatiq import Middleware

from callboard.broker.transport import Transport
from callboard.broker.url import broker_url
from callboard.ledger.facts import Refused
from callboard.middleware._execution import execution_of
from callboard.outcome import ONGOING, Cancelled, Completed, Failed, Interrupted, PutOff, Retry
from callboard.settings import get_settings
from observability import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dramatiq import Broker, Message
    from dramatiq.broker import MessageProxy

    from callboard.middleware._execution import Execution
    from callboard.outcome import Outcome
    from observability.tracing._parts import Attempt
    from observability.tracing.spans import Spans

__all__ = ["CARRIER", "PARENT", "Tracing"]

#: The option of a message under which its trace context travels.
CARRIER = "otel"
#: The option that makes the attempts of a message go on with its sender's trace.
PARENT = "callboard.trace.parent"

_CANARY = "callboard_canary"
_OUTCOMES: Mapping[type[Outcome], str] = {
    Completed: "success",
    Retry: "retry",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "shutdown",
    PutOff: "postponed",
}
_REFUSED = {"overlap": "skipped", "ended": "skipped", "poison": "failed"}


class Tracing(Middleware):
    """Spans of what is sent and of what is done.

    In a worker it begins once the process has booted, and in any other one with the first message that is sent.
    """

    def __init__(self) -> None:
        self._spans: Spans | None = None
        self._asked = False
        self._server: dict[str, Any] | None = None

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002 - hook
        """Begin, after the fork of whoever forks."""
        self._begin("worker")

    def _begin(self, service: str) -> None:
        self._asked = True
        self._spans = tracing.start(service)

    def after_worker_shutdown(self, broker: Broker, worker: object) -> None:  # noqa: ARG002 - hook
        """Let the last spans leave: Dramatiq's own worker process ends without calling anybody again.

        Callboard's worker does it when it has said goodbye to everybody else.
        """
        if isinstance(worker, dramatiq.Worker) and self._spans is not None:
            self._spans.flush(tracing.FLUSH_SECONDS)

    # Sending

    def around_enqueue(
        self, broker: Broker, batch: Sequence[Message[Any]], delay: int | None
    ) -> Callable[[BaseException | None], None] | None:
        """Begin the span of a batch and write down where each message comes from; returns what ends the span."""
        if not self._asked:
            self._begin("api")
        spans = self._spans
        if spans is None:
            return None
        sent = spans.send(
            [tracing.Sending(m.queue_name, m.actor_name, m.message_id, delay, m.options.get(CARRIER)) for m in batch],
            self._place(broker),
        )
        for message, carrier in zip(batch, sent.carriers, strict=True):
            if carrier is not None:
                message.options[CARRIER] = carrier
        return sent.end

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        """As `around_enqueue`, for a broker that is not ours: it does not say when a message has left."""
        if not isinstance(broker, Transport) and CARRIER not in message.options:
            end = self.around_enqueue(broker, [message], delay)
            if end is not None:
                end(None)

    def _place(self, broker: Broker) -> Mapping[str, Any]:
        if self._server is None:
            self._server = _server(broker)
        return self._server

    # Working

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002 - hook
        """Begin the span of an attempt that was allowed to start."""
        if self._spans is None:
            return
        execution = execution_of(message)
        if execution is None:
            return
        attempt = self._spans.attempt(
            execution.facts.queue,
            message.options.get(CARRIER),
            {**_names(message), **_facts(execution), **_waited(message)},
            parent=message.options.get(PARENT) is True,
        )
        message.span = attempt  # type: ignore[attr-defined]  # ours
        execution.run.trace = attempt.trace

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002 - hook
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,  # noqa: ARG002 - hook
    ) -> None:
        """End it: the outcome is decided."""
        if self._spans is None:
            return
        execution, attempt = execution_of(message), vars(message).pop("span", None)
        if execution is None or attempt is None:
            return
        outcome = execution.outcome or Completed()
        if isinstance(outcome, ONGOING):
            _keep(message, previous=attempt.traceparent)
        attempt.end(_OUTCOMES[type(outcome)], _error(outcome))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002 - hook
        """Say that a message was turned away: before its attempt, or, e.g. for its age, by another middleware."""
        if self._spans is None:
            return
        attempt: Attempt | None = vars(message).pop("span", None)
        if attempt is not None:
            attempt.end("expired" if message.failed else "cancelled")
            return
        refused = vars(message).get("refused")
        if isinstance(refused, Refused):
            self._turned_away(message, refused)

    def _turned_away(self, message: MessageProxy, refused: Refused) -> None:
        if self._spans is None or refused.reason == "early":
            return
        if refused.reason in ("limit", "elsewhere"):
            _keep(message, waited_for=refused.reason)
            return
        told = {**_names(message), "callboard.reason": f"{refused.reason} {refused.detail}".strip()}
        outcome = "cancelled" if refused.detail == "cancelled" else _REFUSED[refused.reason]
        self._spans.attempt(message.queue_name, message.options.get(CARRIER), told).end(outcome)


def _names(message: MessageProxy) -> dict[str, Any]:
    name = message.message_id
    return {"messaging.message.id": name, "callboard.run_id": name, "callboard.actor": message.actor_name}


def _keep(message: MessageProxy, **said: str) -> None:
    """Write something beside the creation context, which nobody changes, for the next attempt to tell."""
    carrier = message.options.get(CARRIER)
    message.options[CARRIER] = {**(carrier if isinstance(carrier, dict) else {}), **said}


def _error(outcome: Outcome) -> tracing.Error | None:
    if not isinstance(outcome, Retry | Failed):
        return None
    return tracing.Error(outcome.failure.error_type, outcome.failure.error, outcome.failure.traceback)


def _facts(execution: Execution) -> dict[str, Any]:
    facts = execution.facts
    found: dict[str, Any] = {
        "callboard.attempt": execution.started.attempt,
        "callboard.trigger": facts.trigger,
    }
    if facts.eligible_at is not None:
        found["callboard.wait_ms"] = max(round((time.time() - facts.eligible_at.timestamp()) * 1000), 0)
    if facts.trigger == "schedule":
        found["callboard.schedule"] = facts.job
    if facts.job == _CANARY:
        found["callboard.canary"] = True
    return found


def _waited(message: MessageProxy) -> dict[str, Any]:
    """What held the message up when it was tried before: `limit`, or `elsewhere` for a run that another worker had."""
    carrier = message.options.get(CARRIER)
    reason = carrier.pop("waited_for", None) if isinstance(carrier, dict) else None
    return {"callboard.waited_for": reason} if isinstance(reason, str) else {}


def _server(broker: Broker) -> dict[str, Any]:
    """`server.address` and `server.port`, of a broker that is reached by them."""
    try:
        parts = urlsplit(getattr(broker, "_url", "") or broker_url(get_settings()))
        found = {"server.address": parts.hostname, "server.port": parts.port}
    except (ValueError, LookupError):
        return {}
    return {key: value for key, value in found.items() if value is not None}
