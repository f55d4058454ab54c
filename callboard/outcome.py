"""How an attempt ended, and what becomes of its message: closed sets of values.

Outcome                        Settlement
+-- Completed                  +-- Acknowledge   the broker forgets the message
+-- Retry                      +-- Resend        a copy comes back later, this one is forgotten, in one step
+-- Failed                     +-- GiveBack      the message goes back to its queue untouched
+-- Cancelled
+-- Interrupted
"""

from __future__ import annotations

import traceback as tracebacks
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callboard.failures import classify, fingerprint

if TYPE_CHECKING:
    from callboard.failures import Kind


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
        """Classify `exception`, unless its `kind` is known; cut to 4,000 characters, tracebacks to 30 frames."""
        verdict = classify(exception)
        name = type(exception).__name__
        message = (str(exception) or repr(exception))[:4000]
        lines = tracebacks.format_exception(type(exception), exception, exception.__traceback__, limit=30)
        return cls(
            error_type=name,
            error=message,
            kind=kind or verdict.kind,
            retryable=verdict.retryable,
            label=verdict.label,
            fingerprint=fingerprint(job, name, message, scope),
            traceback="".join(lines)[-16_000:],
        )


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


Outcome = Completed | Retry | Failed | Cancelled | Interrupted


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
