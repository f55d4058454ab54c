"""One request to an endpoint, signed as Standard Webhooks say, and what its answer means.

    2xx                          delivered
    408, 409, 425, 429, 5xx      tried again, and no sooner than Retry-After says
    no answer in time            tried again
    410                          given up, and the webhook is disabled
    3xx (never followed), else   given up

The breaker of the endpoint counts 5xx and missing answers; the rest comes from an endpoint that is well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard import (
    BreakerOpen,
    HttpAnswer,
    NotPublic,
    PermanentError,
    TransientError,
    breaker,
    current_run,
    post_pinned,
    unseal,
)

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from actors.memory.settings import MemorySettings
    from actors.memory.webhooks.rows import Delivery

_GONE, _SERVER_ERRORS = 410, 500
_PASSING = frozenset({408, 409, 425, 429})
_OURS = frozenset({"host", "connection", "content-length", "content-type", "transfer-encoding", "user-agent"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    `status` is None where no answer came, `latency` is in seconds, `called` is false where nothing was sent, and
    `after` is when the endpoint wants to be asked again, in seconds.
    """

    status: int | None = None
    error: str = ""
    passing: bool = False
    called: bool = True
    latency: float = 0.0
    after: float = 0.0

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - success, by HTTP

    @property
    def gone(self) -> bool:
        """Whether the endpoint wants no more webhooks at all."""
        return self.status == _GONE


class _ServerError(TransientError):
    """An answer of 5xx, as the breaker is to see it."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


def call(delivery: Delivery, settings: MemorySettings, now: datetime) -> Outcome:
    """Send it.

    Raises:
        BreakerOpen: The endpoint failed too often just now; nothing was sent.
    """
    if not delivery.active:
        why = delivery.disabled_reason or "by its owner"
        return Outcome(error=f"webhook {delivery.name!r} is disabled: {why}; enable it, then replay.", called=False)
    began = time.monotonic()
    try:
        answer = _answer(delivery, settings, now)
    except BreakerOpen:
        raise
    except (TransientError, PermanentError) as error:
        passing = isinstance(error, TransientError)
        return Outcome(error=f"{error}", passing=passing, latency=time.monotonic() - began)
    return _judged(delivery, answer, time.monotonic() - began)


def key_of(webhook: UUID | str) -> str:
    """What the breaker of an endpoint is called."""
    return f"webhook:{webhook}"


def _answer(delivery: Delivery, settings: MemorySettings, now: datetime) -> HttpAnswer:
    body = delivery.payload_json.encode()
    headers = _headers(delivery, now)
    if delivery.url.startswith("http://") and not settings.allow_private:
        raise PermanentError(f"webhook {delivery.name!r} is plain HTTP; give it an address with https://.")
    try:
        with breaker(key_of(delivery.webhook_id)):
            return _post(delivery, body, headers, allow_private=settings.allow_private)
    except _ServerError as error:
        return error.answer
    except NotPublic as error:
        raise PermanentError(f"{error} CALLBOARD_MEMORY_ALLOW_PRIVATE=true lets webhooks call such ones.") from None


def _post(delivery: Delivery, body: bytes, headers: dict[str, str], *, allow_private: bool) -> HttpAnswer:
    answer = post_pinned(
        delivery.url, body, headers, allow_private=allow_private, timeout=delivery.timeout, keep_alive=True
    )
    if answer.status >= _SERVER_ERRORS:
        raise _ServerError(answer)
    return answer


def _headers(delivery: Delivery, now: datetime) -> dict[str, str]:
    from standardwebhooks import Webhook  # noqa: PLC0415 - an import of 20 ms, only for who has webhooks

    secrets = [kept for kept in (delivery.secret, delivery.previous_secret) if kept is not None]
    signers = [Webhook(unseal(kept).decode()) for kept in secrets]
    return {
        **_credential(delivery),
        "Content-Type": "application/json",
        "User-Agent": "Callboard",
        "X-Correlation-ID": current_run().correlation_id,
        "X-MemorySync-Event": delivery.event_type,
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(each.sign(delivery.event_id, now, delivery.payload_json) for each in signers),
    }


def _credential(delivery: Delivery) -> dict[str, str]:
    name, value = delivery.auth_header_name, delivery.auth_header_value
    if not name or value is None:
        return {}
    if not is_free(name):
        raise PermanentError(f"webhook {delivery.name!r}: its auth header {name!r} is one that deliveries have anyway.")
    return {name: unseal(value).decode()}


def is_free(header: str) -> bool:
    """Whether an owner may name the auth header so: none that is sent anyway, and a name by RFC 9110 at all."""
    small = header.lower()
    fits = header.isascii() and all(sign.isalnum() or sign in "!#$%&'*+-.^_`|~" for sign in header)
    return bool(header) and fits and small not in _OURS and not small.startswith(("webhook-", "x-memorysync-"))


def _judged(delivery: Delivery, answer: HttpAnswer, latency: float) -> Outcome:
    status = answer.status
    passing = status in _PASSING or status >= _SERVER_ERRORS
    error = "" if 200 <= status < 300 else f"webhook {delivery.name!r} {_told(status)}"  # noqa: PLR2004 - success
    return Outcome(status, error, passing, latency=latency, after=answer.retry_after or 0.0)


def _told(status: int) -> str:
    if status == _GONE:
        return f"answered {status} Gone: it is disabled"
    if 300 <= status < 400:  # noqa: PLR2004 - redirects, by HTTP
        return f"answered {status}, a redirect, which is not followed: give it the address where that leads"
    return f"answered {status}"
