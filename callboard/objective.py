"""Service level objectives, declared with the job: what share of its runs must be good, and what good is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from callboard.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Slo:
    """A run is good if it succeeds within `within` seconds of its creation, retries and waiting included.

    Args:
        objective: Share of runs that must be good, above 0 and below 1, e.g. 0.99.
        within: Seconds; None: whenever it succeeds.
        per: `job` counts this job's runs alone, `queue` together with all jobs of its queue that say so.

    Raises:
        DeclarationError: A number is out of range.
    """

    objective: float = 0.99
    within: float | None = None
    per: Literal["job", "queue"] = "job"

    def __post_init__(self) -> None:
        if not 0 < self.objective < 1:
            raise DeclarationError(f"Slo: objective={self.objective!r} must lie between 0 and 1, e.g. 0.99.")
        if self.within is not None and not self.within > 0:
            raise DeclarationError(f"Slo: within={self.within!r} must be a number of seconds above 0, or None.")
        if self.per not in ("job", "queue"):
            raise DeclarationError(f"Slo: per={self.per!r} must be 'job' or 'queue'.")
