"""Every error of ours has one root, and the tree is closed; those of the embedded servers stand beside them.

CallboardError
+-- JobError                 raised by a job's function, to say what kind of failure it is
|   +-- TransientError         the outside world's fault and likely to pass: retried by the job's policy
|   |   +-- BreakerOpen            the target failed too often just now, and is left alone for a while
|   +-- PermanentError         trying again cannot help: given up on at once
|   +-- AuthenticationError    a credential is missing or refused: given up on until a person renews it
+-- Postponed                raised by a job's function: not now, come back later; no attempt is used up
+-- DeclarationError         a job or one of its options is declared wrongly (also a ValueError)
|   +-- CadenceError           a cadence is malformed, or never fires
+-- ArgumentsError           a job was sent arguments that do not fit it (also a TypeError and a MiddlewareError)
+-- DuplicateRun             the job is already pending or running for that scope (also Dramatiq's MiddlewareError)
+-- LedgerUnavailable        Postgres cannot be reached, so nothing can be promised (also a MiddlewareError)
+-- UnsafeBroker             the broker's server would lose or evict messages
+-- Unsupported              this broker cannot do that
+-- FilterError             a filter cannot be read; the message points at the word (also a ValueError)
+-- Forbidden               whoever asks may not do that
+-- SignInRefused           the address, the password or the link is not right, or was tried too often
+-- Invalid                 a field of an account, team, project or key does not fit (also a ValueError)
+-- Conflict                what is there already forbids it: the name is taken, the last admin must stay
+-- NotFound                 no job, run or dead letter of that name or id
+-- NotActionable            the job says that a retry of its failed run makes no sense any more
+-- SealedMessage           a message in the ledger was sealed with a key that is not here
+-- ReplayRefused            the dead letter was replayed or discarded before
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq.middleware import MiddlewareError

if TYPE_CHECKING:
    from uuid import UUID


_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 604_800


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


class BreakerOpen(TransientError):  # noqa: N818 - a state of the breaker, named as such
    """The breaker of a target is open: nothing was sent.

    Args:
        key: Which breaker.
        retry_after: Seconds until it lets a probe through, as far as is known.
    """

    retry_after: float

    def __init__(self, key: str, *, retry_after: float) -> None:
        super().__init__(
            f"the breaker of {key!r} is open after failures in a row; a probe may go in {retry_after:.0f} s",
            retry_after=retry_after,
        )
        self.key = key


class Postponed(CallboardError):  # noqa: N818 - what becomes of the run
    """Raised by a job's function: the run cannot be done now, and is given back to its queue for a while.

    It uses up no attempt, and is no failure. A run that is postponed for ever still ends: see `callboard.middleware`'s
    `retries`. A run without a broker (`callboard run`) ends as cancelled.

    Args:
        seconds: After so many, it starts again; less than 0.1 is 0.1.
        why: For people; it stands in the run's history and in what it waits for.

    Raises:
        ValueError: `seconds` is negative, no number, or more than a week.
    """

    def __init__(self, seconds: float, why: str) -> None:
        if not 0 <= seconds <= _LONGEST_PAUSE:
            raise ValueError(f"Postponed({seconds!r}, ...) must be from 0 to {_LONGEST_PAUSE} seconds, a week.")
        super().__init__(why)
        self.seconds = max(float(seconds), _SHORTEST_PAUSE)
        self.why = why


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
    """A filter cannot be read; the message shows the word, and what could stand there.

    Args:
        message: One line, complete in itself.
        text: The filter; `at` is where the word begins in it and `length` how long it is, in characters.
        instead: What could stand there.
    """

    def __init__(
        self, message: str, *, text: str = "", at: int = 0, length: int = 0, instead: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.text = text
        self.at = at
        self.length = length
        self.instead = instead

    @property
    def pointer(self) -> str:
        """The filter, and below it carets under the word: two lines for a fixed-width font."""
        line = "".join(" " if character.isspace() else character for character in self.text)
        return f"{line}\n{' ' * self.at}{'^' * max(self.length, 1)}"


class Forbidden(CallboardError):  # noqa: N818 - the outcome's usual name
    """Whoever asks may not do that; the message says what would be needed."""


class SignInRefused(CallboardError):  # noqa: N818 - the outcome's usual name
    """Nobody was signed in; the message is the same for an unknown address and a wrong password.

    Args:
        message: For people.
        retry_after: Seconds until another try is listened to; None: at once.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Invalid(CallboardError, ValueError):  # noqa: N818 - what it is
    """A field does not fit.

    Args:
        field: Its name, as a form or a JSON body has it.
        message: What is wrong with it, and what would fit.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Conflict(CallboardError):  # noqa: N818 - the outcome's usual name
    """What is there already forbids it; the message says what to change first."""


class NotFound(CallboardError):  # noqa: N818 - the outcome's usual name
    """Nothing of that name or id exists."""


class NotActionable(CallboardError):  # noqa: N818 - the outcome's usual name
    """The job itself says that a retry of its failed run makes no sense any more, and why."""


class SealedMessage(CallboardError):  # noqa: N818 - what it is
    """A message that the ledger keeps cannot be opened here; the message says which key it was sealed with."""


class ReplayRefused(CallboardError):  # noqa: N818 - the outcome's usual name
    """A dead letter is replayed at most once, and this one was replayed or discarded before."""
