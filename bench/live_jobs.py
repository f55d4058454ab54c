"""The jobs of `bench.live`: most do nothing, one in a hundred fails."""

from __future__ import annotations

from callboard import PermanentError, job


@job("live_noop", queue="live")
def live_noop(*, number: int) -> None:
    """Fail where the number says so."""
    if number % 100 == 0:
        raise PermanentError("one in a hundred")
