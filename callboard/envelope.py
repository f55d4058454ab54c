"""What Callboard writes into a message's options, under the key `callboard`; the message carries its own story."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from callboard.ledger.facts import RunFacts
from callboard.run import correlation_id_of, peek_run
from observability.redaction import redact

if TYPE_CHECKING:
    from dramatiq import Message

    from callboard.spec import JobSpec

KEY = "callboard"


def delivery_id(message: Message[Any]) -> str:
    """The broker's id of this delivery of the message: `<message id>.<n>`, n counting the retries before it."""
    return f"{message.message_id}.{message.options.get('retries', 0)}"


def stamp(message: Message[Any], delay_ms: int | None) -> None:
    """Complete the envelope of a message that is being enqueued; what stands there already stays.

    `eligible_at` (Unix seconds) is when the message may start: retries and delays do not count as waiting.
    """
    envelope = message.options.setdefault(KEY, {})
    if "correlation_id" not in envelope or "trigger" not in envelope:
        _trace(envelope, message.message_id)
    if delay_ms is not None or "eligible_at" not in envelope:
        envelope["eligible_at"] = time.time() + (delay_ms or 0) / 1000


def delay_again(options: dict[str, Any], seconds: float) -> None:
    """Let waiting begin anew, `seconds` from now: neither an attempt nor the pause after it is waiting."""
    options[KEY]["eligible_at"] = time.time() + seconds
    options[KEY].pop("unknown_since", None)  # a worker knew the job


def _trace(envelope: dict[str, Any], own_id: str) -> None:
    run = peek_run()
    if run is None or run.token == 0:  # a detached one is nobody's parent
        envelope.setdefault("correlation_id", correlation_id_of(own_id))
        envelope.setdefault("trigger", "send")
    else:
        envelope.setdefault("correlation_id", run.correlation_id)
        envelope.setdefault("trigger", f"job:{run.job}")
        envelope.setdefault("parent_id", str(run.id))


def ready_since(body: bytes, default: float) -> float:
    """When an encoded message became ready to run (Unix seconds); `default` if it does not say."""
    try:
        fields = orjson.loads(body)
        return float(fields["options"].get(KEY, {}).get("eligible_at", fields["message_timestamp"] / 1000))
    except (ValueError, TypeError, KeyError, AttributeError):
        return default


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def facts_of(message: Message[Any], spec: JobSpec, *, body: bytes | None = None, crashes: int = 0) -> RunFacts:
    """The run that a message tells of; arguments are redacted by key.

    Args:
        message: What was sent.
        spec: The job it is for.
        body: The message as bytes, where they are at hand.
        crashes: How often it was given out to a worker that died.
    """
    options = message.options
    envelope = options.get(KEY) or {}
    scheduled = envelope.get("scheduled_for")
    parent = envelope.get("parent_id")
    return RunFacts(
        id=UUID(message.message_id),
        created_at=datetime.fromtimestamp(message.message_timestamp / 1000, UTC),
        job=message.actor_name,
        queue=message.queue_name,
        trigger=envelope.get("trigger", "send"),
        correlation_id=envelope.get("correlation_id") or correlation_id_of(message.message_id),
        scope=spec.scope_of(message.args, message.kwargs) if spec.single_by else "",
        parent_id=None if parent is None else UUID(parent),
        args=_named(spec, message) if message.args or message.kwargs else {},
        scheduled_for=None if scheduled is None else datetime.fromisoformat(scheduled),
        missed=int(envelope.get("missed", 0)),
        eligible_at=_moment(envelope.get("eligible_at")),
        notify=tuple(envelope.get("notify", spec.notify)),
        payload=message.encode() if body is None else body,
        delivery=delivery_id(message),
        single=spec.is_single,
        recurring=spec.recurring,
        interval=spec.interval,
        concurrency=spec.concurrency,
        rate=spec.rate_window,
        project_id=spec.project_of(message.args, message.kwargs) if spec.scope == "project" else None,
        durable=bool(envelope.get("durable", spec.is_durable)),
        crashes=crashes,
    )


def _named(spec: JobSpec, message: Message[Any]) -> dict[str, Any]:
    try:
        named = spec.bind(message.args, message.kwargs)
    except TypeError:
        named = {"args": list(message.args), **message.kwargs}
    redacted: dict[str, Any] = redact(named)
    return redacted
