"""What a catalogue depends on outside, watched by the scheduler's leader.

    @health_check("ai_microservice")
    def _answers() -> None:
        with http_client() as client:
            client.get(f"{base}/health").raise_for_status()

A check that raises, or takes too long, opens the issue `dependency_unavailable` with its name; the first one that
returns resolves it. It is called every `CALLBOARD_HEALTH_SECONDS`, in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from callboard.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Mapping

Fn = TypeVar("Fn", bound=Callable[[], object])
Severity = Literal["info", "warning", "error", "critical"]

_SEVERITIES = ("info", "warning", "error", "critical")
_checks: dict[str, HealthCheck] = {}


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One check: returns when all is well, raises when not; `patience` is in seconds."""

    name: str
    fn: Callable[[], object]
    severity: Severity
    patience: float


def health_check(name: str, *, severity: Severity = "critical", patience: float = 10.0) -> Callable[[Fn], Fn]:
    """Declare a check of something outside.

    Args:
        name: What is checked, as its issue is called.
        severity: Of that issue.
        patience: Seconds after which no answer is a bad one.

    Raises:
        DeclarationError: The name is empty or taken by another function, or an option does not fit.
    """
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"health_check({name!r}): name what it checks, e.g. health_check('ai_microservice').")
    if severity not in _SEVERITIES or patience <= 0:
        raise DeclarationError(
            f"health_check({name!r}): severity={severity!r} must be one of {', '.join(_SEVERITIES)}, "
            f"and patience={patience!r} above 0 seconds."
        )

    def declare(fn: Fn) -> Fn:
        before = _checks.get(name)
        if before is not None and _place(before.fn) != _place(fn):
            raise DeclarationError(
                f"Health check {name!r} is declared twice, in {_place(before.fn)} and in {_place(fn)}; rename one."
            )
        _checks[name] = HealthCheck(name, fn, severity, patience)
        return fn

    return declare


def _place(fn: Callable[[], object]) -> str:
    return f"{fn.__module__}.{getattr(fn, '__qualname__', type(fn).__qualname__)}"


def health_checks() -> Mapping[str, HealthCheck]:
    """The declared checks by name."""
    return dict(_checks)
