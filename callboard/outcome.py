"""How an attempt ended, and what becomes of its message: closed sets of values.

Outcome                        Settlement
+-- Completed                  +-- Acknowledge   the broker forgets the message
+-- Retry                      +-- Resend        a copy comes back later, this one is forgotten, in one step
+-- Failed                     +-- GiveBack      the message goes back to its queue untouched
+-- Cancelled
+-- Interrupted
+-- PutOff
"""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dramatiq.middleware import TimeLimitExceeded

from callboard.failures import IssueType, classify, fingerprint, issue_type
from observability.redaction import redact_text

if TYPE_CHECKING:
    from callboard.failures import Kind

# Secrets are looked for in so much of a text, far more than is kept of it.
_SEARCHED = 64_000


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as the ledger keeps it."""

    error_type: str
    error: str
    kind: Kind
    retryable: bool
    label: str
    fingerprint: str
    traceback: str

    @classmethod
    def of(cls, exception: BaseException, *, job: str, scope: str, kind: Kind | None = None) -> Failure:
        """Classify `exception`, unless its `kind` is known; secrets hidden, then cut: text to 4,000 characters.

        Of a traceback, the last 16,000 characters of 30 frames are kept.
        """
        verdict = classify(exception)
        kind, name = kind or verdict.kind, type(exception).__name__
        message = redact_text(_said(exception)[:_SEARCHED])[:4000]
        lines = tracebacks.format_exception(type(exception), exception, exception.__traceback__, limit=30)
        return cls(
            error_type=name,
            error=message,
            kind=kind,
            retryable=verdict.retryable,
            label=verdict.label,
            fingerprint=_fingerprint(kind, job, name, message, scope),
            traceback=redact_text("".join(lines)[-_SEARCHED:])[-16_000:],
        )

    @property
    def issue_type(self) -> IssueType:
        """What kind of issue it is folded into."""
        return issue_type(self.kind, self.label)


def _said(exception: BaseException) -> str:
    """Its text. Dramatiq raises `TimeLimitExceeded` from another thread, which can give it none."""
    if type(exception) is TimeLimitExceeded and not exception.args:
        return "it ran for longer than its time_limit"
    return str(exception) or repr(exception)


def _fingerprint(kind: Kind, job: str, name: str, message: str, scope: str) -> str:
    """However a refused credential is told of, it is one issue for its job and scope."""
    if kind == "authentication":
        name = message = IssueType.AUTHENTICATION_REQUIRED
    return fingerprint(job, name, message, scope)


@dataclass(frozen=True, slots=True)
class Completed:
    """The function returned."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; the run's next one may start after `delay` seconds."""

    failure: Failure
    delay: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Given up on: the message becomes a dead letter for the reason given."""

    failure: Failure
    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job saw the request to cancel and returned early, or never started."""

    reason: str = "cancelled"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The worker is stopping: not the job's fault, so no attempt is used up."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """The job said "not now": no attempt is used up, and the run may start again after `delay` seconds.

    Attributes:
        delay: Seconds.
        why: The job's words.
        times: How often this message was put off, this time included.
    """

    delay: float
    why: str
    times: int = 1


Outcome = Completed | Retry | Failed | Cancelled | Interrupted | PutOff
#: The run goes on after these.
ONGOING = (Retry, Interrupted, PutOff)


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Forget the message."""


@dataclass(frozen=True, slots=True)
class Resend:
    """Enqueue the message again after `delay` seconds and forget this delivery, both or neither."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Put the message back where it was, for another worker."""


Settlement = Acknowledge | Resend | GiveBack
