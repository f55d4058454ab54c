"""Percentiles, medians and ratios of what was measured."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FOREIGN_CORES = 0.3
LEAST_CLEAN = 2


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank).

    Raises:
        ValueError: There are no values, or the share is not within 0 and 1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


class Summary(NamedTuple):
    """Median, least and most of some trials; `disturbed` if others used the processor in too many of them."""

    median: float
    least: float
    most: float
    trials: int
    disturbed: bool


def summarize(values: Sequence[tuple[float, float]]) -> Summary:
    """Of (value, cores that others used); disturbed trials are left out when two clean ones exist."""
    clean = [value for value, foreign in values if foreign <= FOREIGN_CORES]
    disturbed = len(clean) < min(LEAST_CLEAN, len(values))
    kept = [value for value, _ in values] if disturbed else clean
    return Summary(median(kept), min(kept), max(kept), len(kept), disturbed)


def ratio(ours: float, theirs: float) -> float:
    """Ours divided by theirs; infinity where theirs is nothing."""
    return ours / theirs if theirs else math.inf
