"""What kind of failure an exception is, and which failures are the same one.

    declared ---> as the job said              TransientError, PermanentError, AuthenticationError
    authentication -> authentication, never    a person must renew a credential
    manual review --> runtime, never           a mistake in the code: AttributeError, unknown column, ...
    non-recoverable > runtime, never           the same input will fail again: ValueError, not found, not unique, ...
    transient ------> transient, retryable     timeouts, broken connections, deadlocks, 429, 503, ...
    the rest -------> runtime, never           a kind nobody has thought about is not tried again blindly

Each exception of a chain is asked in that order, the raised one first, then what it was raised `from`; the first that
has an answer decides.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from callboard import _failure_rules as rules
from callboard._causes import causes
from callboard.errors import AuthenticationError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(StrEnum):
    """Failure kinds, as metrics and the ledger name them."""

    AUTHENTICATION = "authentication"
    TRANSIENT = "transient"
    RUNTIME = "runtime"
    POISON = "poison"


class Label(StrEnum):
    """What people can do about a failure; `manual_review_required` opens an issue of its own."""

    RECOVERABLE = "recoverable"
    NON_RECOVERABLE = "non_recoverable"
    MANUAL_REVIEW_REQUIRED = "manual_review_required"


class IssueType(StrEnum):
    """What an issue is about; the first three are folded from failures, the others opened by health checks."""

    JOB_FAILURE = "job_failure"
    JOB_MANUAL_REVIEW_REQUIRED = "job_manual_review_required"
    AUTHENTICATION_REQUIRED = "authentication_required"
    JOB_HEALTH_DEGRADED = "job_health_degraded"
    QUEUE_HEALTH_DEGRADED = "queue_health_degraded"
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"

    @property
    def severity(self) -> str:
        """Of an issue that says nothing else."""
        critical = (self.AUTHENTICATION_REQUIRED, self.QUEUE_HEALTH_DEGRADED, self.DEPENDENCY_UNAVAILABLE)
        return "critical" if self in critical else "error"


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict on one failure; `retryable` is whether the job's retry policy is asked at all."""

    kind: Kind
    retryable: bool
    label: Label


AUTHENTICATION = Classification(Kind.AUTHENTICATION, retryable=False, label=Label.NON_RECOVERABLE)
MANUAL_REVIEW = Classification(Kind.RUNTIME, retryable=False, label=Label.MANUAL_REVIEW_REQUIRED)
NON_RECOVERABLE = Classification(Kind.RUNTIME, retryable=False, label=Label.NON_RECOVERABLE)
TRANSIENT = Classification(Kind.TRANSIENT, retryable=True, label=Label.RECOVERABLE)
# For the crash counter, no exception reaches us: the message killed its worker three times.
POISON = Classification(Kind.POISON, retryable=False, label=Label.MANUAL_REVIEW_REQUIRED)

_ORDER: tuple[tuple[Callable[[BaseException], bool], Classification], ...] = (
    (lambda exception: isinstance(exception, TransientError), TRANSIENT),
    (lambda exception: isinstance(exception, PermanentError), NON_RECOVERABLE),
    (lambda exception: isinstance(exception, AuthenticationError), AUTHENTICATION),
    (rules.is_authentication, AUTHENTICATION),
    (rules.needs_review, MANUAL_REVIEW),
    (rules.is_non_recoverable, NON_RECOVERABLE),
    (rules.is_transient, TRANSIENT),
)

_LONGEST_KEY = 180
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_HEX = r"0x[0-9a-f]{2,}|(?<![0-9a-z])(?=[0-9]*[a-f])[0-9a-f]{8,}(?![0-9a-z])"
_IDS = re.compile(rf"(?P<hex>{_UUID}|{_HEX})|[0-9]{{2,}}", re.IGNORECASE)


def classify(exception: BaseException) -> Classification:
    """Kind, retryability and label of a failure."""
    for cause in causes(exception):
        for applies, verdict in _ORDER:
            if applies(rules.unwrapped(cause)):
                return verdict
    return NON_RECOVERABLE


def issue_type(kind: str, label: str) -> IssueType:
    """The issue that a failure of this kind and label is folded into."""
    if kind == Kind.AUTHENTICATION:
        return IssueType.AUTHENTICATION_REQUIRED
    if label == Label.MANUAL_REVIEW_REQUIRED or kind == Kind.POISON:
        return IssueType.JOB_MANUAL_REVIEW_REQUIRED
    return IssueType.JOB_FAILURE


def issue_key(message: str) -> str:
    """`message` without what differs from one occurrence to the next, cut to 180 characters.

    UUIDs, addresses and runs of 8 or more hexadecimal digits become `<hex>`, other numbers of 2 or more digits `<n>`.
    A run of decimal digits alone is always a number, so of ids with 8 random hexadecimal digits one in 43 gets
    another key than the rest.
    """
    return _IDS.sub(lambda found: "<hex>" if found["hex"] else "<n>", message)[:_LONGEST_KEY]


def fingerprint(job: str, exc_type: str, message: str, scope: str) -> str:
    """SHA-256, in hexadecimal, of what makes two failures the same issue.

    Args:
        job: Name of the job.
        exc_type: Name of the exception's class.
        message: The exception's text; ids and numbers in it do not count, see `issue_key`.
        scope: What the run was for (a project, an account); empty for the whole job.
    """
    text = "|".join((exc_type, job, scope, issue_key(message)))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
