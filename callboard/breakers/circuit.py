"""The breaker around one call."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

import structlog

from callboard.breakers.known import Standing, known
from callboard.breakers.verdict import Verdict, verdict
from callboard.errors import BreakerOpen
from callboard.ledger import breakers
from callboard.ledger.database import AWAY, transaction
from callboard.metering import count_opened
from observability.redaction import redact_text

if TYPE_CHECKING:
    from types import TracebackType

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_LONGEST_KEY, _LONGEST_ERROR = 200, 500
# A breaker that is about to be probed by somebody else is asked again after this long at the earliest.
_SOON_SECONDS = 1.0


def breaker(key: str, *, failures: int = 5, cooldown: float = 60.0) -> Breaker:
    """A circuit breaker around one call to a target, for `with`; see `callboard.breakers`.

    `TransientError`, broken connections, timeouts and answers of 5xx, 408, 425 and 429 count as failures, whatever
    blames the caller (4xx, `PermanentError`, `AuthenticationError`) as an answer, anything else as neither.

    It uses a connection of its own for what it must write, so enter it outside of any transaction, as one should call
    the outside anyway.

    Args:
        key: `kind:target`, at most 200 characters. All workers share the breaker of a key; `kind` is its label in
            metrics, so there should be few.
        failures: It opens after so many in a row.
        cooldown: It stays open for so many seconds; then one call is let through to probe.

    Raises:
        BreakerOpen: On entering: the target is left alone for the time being.
        ValueError: An argument does not fit.
    """
    return Breaker(key, failures=failures, cooldown=cooldown)


@lru_cache(maxsize=256)
def _announce(kind: str) -> None:
    """Have its openings counted from 0 on, once in a process."""
    count_opened(kind, 0)


class Breaker:
    """See `breaker`; it may be entered again and again, but by one thread at a time."""

    def __init__(self, key: str, *, failures: int = 5, cooldown: float = 60.0) -> None:
        if not key or len(key) > _LONGEST_KEY:
            raise ValueError(f"breaker({key[:40]!r}...) has {len(key)} characters; 1 to {_LONGEST_KEY} are allowed.")
        if failures < 1 or cooldown <= 0:
            raise ValueError(f"breaker({key!r}): failures={failures} and cooldown={cooldown} must be above 0.")
        self.key = key
        self._kind = key.partition(":")[0]
        self._failures = failures
        self._cooldown = cooldown
        self._probe: UUID | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call would be refused now, as far as this process knows; asking changes nothing."""
        standing = known.of(self.key)
        return standing.state != "closed" and standing.probe_at > time.monotonic()

    def __enter__(self) -> Self:
        """Let the call through, or not.

        Raises:
            BreakerOpen: The target is left alone.
        """
        self._probe = None
        _announce(self._kind)
        standing = known.of(self.key)
        if standing.state != "closed":
            self._ask(standing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Learn from how it ended; what was raised goes on."""
        judged = verdict(error)
        try:
            if self._probe is not None:
                self._end_probe(self._probe, judged, error)
            elif judged is Verdict.UNWELL:
                self._failed(error)
            elif judged is Verdict.WELL and known.of(self.key).failures:
                self._succeeded()
        except AWAY as away:
            logger.warning("breaker.unwritten", breaker=self.key, error=str(away).partition("\n")[0])
        except LookupError:  # no ledger: a unit test, or a script
            return

    def _ask(self, standing: Standing) -> None:
        wait = standing.probe_at - time.monotonic()
        if wait > 0:
            raise BreakerOpen(self.key, retry_after=max(wait, _SOON_SECONDS))
        owner = uuid4()
        with transaction() as connection:
            won = breakers.probe(connection, self.key, owner, lease=self._cooldown)
        if won:
            self._probe = owner
            return
        standing = known.of(self.key, anew=True)  # somebody else probes, or has closed it
        if standing.state != "closed":
            raise BreakerOpen(self.key, retry_after=max(standing.probe_at - time.monotonic(), _SOON_SECONDS))

    def _failed(self, error: BaseException | None) -> None:
        with transaction() as connection:
            now = breakers.failed(
                connection, self.key, threshold=self._failures, cooldown=self._cooldown, error=_told(error)
            )
        if now is None:
            known.of(self.key, anew=True)
            return
        state, failures = now
        known.put(self.key, Standing(state, failures, time.monotonic() + self._cooldown))
        if state == "open":
            self._tell_opened(failures, error)

    def _succeeded(self) -> None:
        with transaction() as connection:
            breakers.succeeded(connection, self.key)
        known.put(self.key, Standing("closed", 0))

    def _end_probe(self, owner: UUID, judged: Verdict, error: BaseException | None) -> None:
        with transaction() as connection:
            if judged is Verdict.WELL:
                ended = breakers.probe_succeeded(connection, self.key, owner)
            elif judged is Verdict.UNWELL:
                ended = breakers.probe_failed(
                    connection,
                    self.key,
                    owner,
                    threshold=self._failures,
                    cooldown=self._cooldown,
                    error=_told(error),
                )
            else:
                breakers.probe_left(connection, self.key, owner)
                ended = False
        after = known.of(self.key, anew=True)
        if ended and judged is Verdict.WELL:
            logger.info("breaker.closed", breaker=self.key)
        elif ended:
            self._tell_opened(after.failures, error)

    def _tell_opened(self, failures: int, error: BaseException | None) -> None:
        logger.warning(
            "breaker.opened", breaker=self.key, failures=failures, cooldown_seconds=self._cooldown, error=_told(error)
        )
        count_opened(self._kind)


def _told(error: BaseException | None) -> str:
    text = str(error) or type(error).__name__
    return redact_text(text[: _LONGEST_ERROR * 4])[:_LONGEST_ERROR].replace("\x00", "")
