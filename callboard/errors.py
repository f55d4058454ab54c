"""Every error of ours has one root, and the tree is closed; those of the embedded servers stand beside them.

CallboardError
+-- JobError                 raised by a job's function, to say what kind of failure it is
|   +-- TransientError         the outside world's fault and likely to pass: retried by the job's policy
|   +-- PermanentError         trying again cannot help: given up on at once
|   +-- AuthenticationError    a credential is missing or refused: given up on until a person renews it
+-- DeclarationError         a job or one of its options is declared wrongly (also a ValueError)
|   +-- CadenceError           a cadence is malformed, or never fires
+-- ArgumentsError           a job was sent arguments that do not fit it (also a TypeError and a MiddlewareError)
+-- DuplicateRun             the job is already pending or running for that scope (also Dramatiq's MiddlewareError)
+-- LedgerUnavailable        Postgres cannot be reached, so nothing can be promised (also a MiddlewareError)
+-- UnsafeBroker             the broker's server would lose or evict messages
+-- Unsupported              this broker cannot do that
+-- FilterError             a filter cannot be read; the message points at the word (also a ValueError)
+-- Forbidden               whoever asks may not do that
+-- NotFound                 no job, run or dead letter of that name or id
+-- ReplayRefused            the dead letter was replayed or discarded before
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.middleware import MiddlewareError

if TYPE_CHECKING:
    from uuid import UUID


class CallboardError(Exception):
    """Root of all errors of Callboard."""


class JobError(CallboardError):
    """A failure whose kind the job itself knows.

    Args:
        message: For people; it becomes the run's error.
        retry_after: Seconds that the outside system asked us to wait, where it did.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TransientError(JobError):
    """The failure is likely to pass; the job's retry policy decides when to try again."""


class PermanentError(JobError):
    """Trying again cannot help; the run fails at once and its message becomes a dead letter."""


class AuthenticationError(JobError):
    """A credential is missing, expired or refused; only a person can mend it."""


class DeclarationError(CallboardError, ValueError):
    """A job, or an option of it, is declared wrongly; raised at import."""


class CadenceError(DeclarationError):
    """A cadence is malformed, out of bounds, or would never fire."""


class ArgumentsError(CallboardError, MiddlewareError, TypeError):
    """The arguments of a send do not fit the job's signature, or are not JSON."""


class DuplicateRun(CallboardError, MiddlewareError):  # noqa: N818 - callers read it as an outcome: "a duplicate run"
    """The job is already pending or running for that scope.

    It is a MiddlewareError too, because only those reach the sender through Dramatiq.

    Args:
        job: Name of the job.
        existing: Id of the run that is already there.
        scope: What "only one at a time" is counted by; empty for the whole job.
    """

    def __init__(self, job: str, existing: UUID, scope: str = "") -> None:
        self.job = job
        self.existing = existing
        self.scope = scope
        place = f" for scope {scope!r}" if scope else ""
        super().__init__(
            f"job {job!r} already has run {existing} pending or running{place}; wait for it, or cancel it first",
        )


class LedgerUnavailable(CallboardError, MiddlewareError):  # noqa: N818 - a state of the ledger, named as such
    """Postgres cannot be reached; the message stays with the broker."""


class UnsafeBroker(CallboardError):  # noqa: N818 - what it is
    """The broker's server does not keep what it takes; the message names the setting to change."""


class Unsupported(CallboardError):  # noqa: N818 - what it is
    """This broker cannot do that; the message says what can be done instead."""


class FilterError(CallboardError, ValueError):
    """A filter cannot be read; the message shows the word, and what could stand there."""


class Forbidden(CallboardError):  # noqa: N818 - the outcome's usual name
    """Whoever asks may not do that; the message says what would be needed."""


class NotFound(CallboardError):  # noqa: N818 - the outcome's usual name
    """Nothing of that name or id exists."""


class ReplayRefused(CallboardError):  # noqa: N818 - the outcome's usual name
    """A dead letter is replayed at most once, and this one was replayed or discarded before."""
