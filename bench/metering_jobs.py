"""The job of `bench.metering`."""

from __future__ import annotations

from callboard import job


@job("noop")
def noop() -> None:
    """Do nothing."""
