"""How often, and how long after a failure, a run is tried again.

A policy answers with a delay in seconds; it never sleeps, and takes its randomness from the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from callboard._retry_after import retry_after
from callboard.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_RETRIES = 1_000_000  # as good as "for ever", which is what some Dramatiq actors ask for
LONGEST_DELAY = 366 * 86_400.0


class RetryPolicy(Protocol):
    """What the retry middleware asks of a policy."""

    @property
    def max_retries(self) -> int:
        """Retries after the first attempt; a run has at most one attempt more than that."""
        ...

    def delay(self, retry: int, *, random: Callable[[], float]) -> float | None:
        """Seconds to wait before a retry, or None to give up.

        Args:
            retry: Which retry is asked for: 1 after the first failed attempt.
            random: Uniform numbers in [0, 1), such as `random.random`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of `base * factor ** (retry - 1)` seconds, spread by `jitter`, never above `cap`.

    The delay is uniform in `envelope * (1 - jitter) ... envelope * (1 + jitter)`. The envelope itself stops at
    `cap / (1 + jitter)`, so that retries at the ceiling stay spread out and do not gather at `cap`.
    """

    max_retries: int = 3
    base: float = 15.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        name = "Backoff"
        _whole(name, "max_retries", self.max_retries, 0, MOST_RETRIES)
        _within(name, "base", self.base, 0, LONGEST_DELAY)
        _within(name, "factor", self.factor, 1, 10)
        _within(name, "cap", self.cap, self.base, LONGEST_DELAY)
        _within(name, "jitter", self.jitter, 0, 1)

    def delay(self, retry: int, *, random: Callable[[], float]) -> float | None:
        """Seconds before retry number `retry` (from 1); None when there are no more."""
        if _checked(retry) > self.max_retries:
            return None
        return min(_spread(self._envelope(retry), self.jitter, random), self.cap)

    def _envelope(self, retry: int) -> float:
        """The delay without its jitter."""
        ceiling = self.cap / (1 + self.jitter)
        try:
            return min(self.base * math.pow(self.factor, retry - 1), ceiling)
        except OverflowError:  # the power left the floats, so the product passed the ceiling long before
            return ceiling if self.base else 0.0


@dataclass(frozen=True, slots=True, init=False)
class Delays:
    """A fixed row of delays in seconds, each spread by `jitter`: `Delays(1, 2, 5, 10, 30, jitter=0.25)`."""

    seconds: tuple[float, ...]
    jitter: float

    def __init__(self, *seconds: float, jitter: float = 0.25) -> None:
        if not 1 <= len(seconds) <= MOST_RETRIES:
            raise DeclarationError(
                f"Delays(): {len(seconds)} delays given, 1 to {MOST_RETRIES:,} are needed; write NoRetry() for none",
            )
        for number, value in enumerate(seconds, start=1):
            _within("Delays", f"delay {number}", value, 0, LONGEST_DELAY)
        _within("Delays", "jitter", jitter, 0, 1)
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "jitter", jitter)

    @property
    def max_retries(self) -> int:
        """One retry for each delay."""
        return len(self.seconds)

    def delay(self, retry: int, *, random: Callable[[], float]) -> float | None:
        """Seconds before retry number `retry` (from 1); None when there are no more."""
        if _checked(retry) > len(self.seconds):
            return None
        return _spread(self.seconds[retry - 1], self.jitter, random)


@dataclass(frozen=True, slots=True)
class NoRetry:
    """Give up after the first attempt."""

    @property
    def max_retries(self) -> int:
        """None are left from the start."""
        return 0

    def delay(self, retry: int, *, random: Callable[[], float]) -> None:  # noqa: ARG002 - the policy's interface
        """Always None."""
        _checked(retry)


def _spread(seconds: float, jitter: float, random: Callable[[], float]) -> float:
    """`seconds` changed by at most the fraction `jitter`, either way."""
    return seconds * (1 + jitter * (2 * random() - 1))


def _checked(retry: int) -> int:
    if retry < 1:
        raise ValueError(f"retry is {retry}; it counts from 1, the retry after the first failed attempt")
    return retry


def _whole(policy: str, field: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeclarationError(f"{policy}({field}={value!r}): {field} must be a whole number from {low} to {high}")
    _within(policy, field, value, low, high)


def _within(policy: str, field: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DeclarationError(
            f"{policy}({field}={value!r}): {field} must be a number from {low:,.12g} to {high:,.12g}"
        )
    if not low <= value <= high:
        raise DeclarationError(f"{policy}({field}={value!r}): {field} must be from {low:,.12g} to {high:,.12g}")


__all__ = ["LONGEST_DELAY", "MOST_RETRIES", "Backoff", "Delays", "NoRetry", "RetryPolicy", "retry_after"]
