"""Retries: whether a failed attempt is tried again, and when.

A job that postpones its run again and again fails after `MOST_POSTPONED` times, or when its message's `max_age` is
over.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from dramatiq import Middleware
from dramatiq.errors import Retry as RetryError
from dramatiq.middleware import Shutdown

from callboard._retry_after import DEFAULT_CAP, LONGEST
from callboard.dispatch import send_surely
from callboard.envelope import KEY
from callboard.errors import PermanentError, Postponed
from callboard.failures import Kind
from callboard.middleware._execution import execution_of
from callboard.outcome import Cancelled, Failed, Interrupted, PutOff, Retry
from callboard.retry import Backoff, retry_after
from observability.redaction import redact_text

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

    from callboard.middleware._execution import Execution
    from callboard.spec import Policy


_LONGEST_WHY = 300
#: A message that was put off so often is given up on: a job that never can is a mistake.
MOST_POSTPONED = 1000


class Retries(Middleware):
    """Decides the outcome of a failed attempt: given up on, tried again later, or given back.

    Honours Dramatiq's own options too (`max_retries`, `min_backoff`, `max_backoff`, `retry_when`, `throws`,
    `on_retry_exhausted`, in milliseconds as there), on plain actors and on single messages.
    """

    @property
    def actor_options(self) -> set[str]:
        """Dramatiq's names."""
        return {"max_retries", "min_backoff", "max_backoff", "retry_when", "throws", "on_retry_exhausted"}

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401, ARG002 - hook
        exception: BaseException | None = None,
    ) -> None:
        """Decide, unless the attempt went well."""
        execution = execution_of(message)
        if execution is None or exception is None or execution.failure is None or execution.ending is not None:
            return
        if isinstance(exception, Shutdown):
            execution.outcome = Interrupted()
            return
        if isinstance(exception, Postponed) and _put_off(message, execution, exception):
            return
        reason = _hopeless(broker, message, execution, exception)
        delay = None if reason else _delay(message, execution, exception)
        if delay is None:
            execution.outcome = Failed(execution.failure, reason or "retries exhausted")
            message.fail()
            _tell(broker, message)
        else:
            execution.outcome = Retry(execution.failure, delay)
            message.options["retries"] = message.options.get("retries", 0) + 1


def _put_off(message: MessageProxy, execution: Execution, exception: Postponed) -> bool:
    """Give the run back for a while, unless that was done too often; how often travels with the message."""
    if execution.run.cancel_requested:
        execution.outcome = Cancelled("cancelled while it was postponed")
        return True
    envelope = message.options[KEY]
    if envelope.get("postponed", 0) >= MOST_POSTPONED:
        return False
    envelope["postponed"] = envelope.get("postponed", 0) + 1
    execution.outcome = PutOff(exception.seconds, redact_text(exception.why)[:_LONGEST_WHY], envelope["postponed"])
    return True


def _hopeless(broker: Broker, message: MessageProxy, execution: Execution, exception: BaseException) -> str | None:
    options = broker.get_actor(message.actor_name).options
    throws = options.get("throws")
    retry_when = options.get("retry_when")
    if throws and isinstance(exception, throws):
        return "expected error"
    if isinstance(exception, PermanentError | Postponed):
        return "permanent error" if isinstance(exception, PermanentError) else f"postponed {MOST_POSTPONED} times"
    if execution.failure is not None and execution.failure.kind == Kind.AUTHENTICATION:
        return "authentication"
    if execution.run.cancel_requested:
        return "failed while it was being cancelled"
    if retry_when is not None and not retry_when(message.options.get("retries", 0), exception):
        return "retry_when said no"
    return None


def _delay(message: MessageProxy, execution: Execution, exception: BaseException) -> float | None:
    policy = _policy(message, execution.spec.retry)
    delay = policy.delay(message.options.get("retries", 0) + 1, random=random.random)
    if delay is None:
        return None
    if isinstance(exception, RetryError) and exception.delay is not None:
        return exception.delay / 1000
    longest = min(max(DEFAULT_CAP, getattr(policy, "cap", 0.0)), LONGEST)
    return max(delay, retry_after(exception, cap=longest) or 0.0)


def _policy(message: MessageProxy, declared: Policy) -> Policy:
    given = {
        key: message.options[key] for key in ("max_retries", "min_backoff", "max_backoff") if key in message.options
    }
    if not given:
        return declared
    base = given.get("min_backoff", 15_000) / 1000
    most = given.get("max_retries", declared.max_retries)
    return Backoff(max_retries=most, base=base, cap=max(base, given.get("max_backoff", 604_800_000) / 1000))


def _tell(broker: Broker, message: MessageProxy) -> None:
    options = broker.get_actor(message.actor_name).options
    target = message.options.get("on_retry_exhausted") or options.get("on_retry_exhausted")
    if target:
        counts = {"retries": message.options.get("retries", 0), "max_retries": options.get("max_retries")}
        send_surely(broker, broker.get_actor(target).message(message.asdict(), counts))
