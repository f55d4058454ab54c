"""How important a memory is, from 0 to 100: a sum of seven weighted dimensions, each from 0 to 1.

    recency        0.5 ^ (days since the last recall, or since it was written / 30)
    frequency      log2(1 + recalls) / 5, at most 1: 31 recalls are as good as any more
    content type   by the table below
    source trust   by the table below
    size           characters / 400, at most 1
    density        different words / words
    plan           free 0.3, pro 0.6, enterprise 1

A function of the row and the clock alone: the same memory at the same time always has the same score. The weights are
`CALLBOARD_MEMORY_IMPORTANCE_WEIGHTS`; the dimensions' own scales are not public anywhere, and are ours.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_DAY = 86_400.0
_HALF_LIFE_DAYS = 30.0
_MANY_RECALLS = 5.0  # log2(1 + 31)
_WHOLE_SIZE = 400
_UNKNOWN = 0.5
CONTENT_TYPES = {
    "POLICY": 1.0,
    "DECISION": 1.0,
    "SUMMARY": 0.9,
    "RELATIONSHIP": 0.8,
    "FACT": 0.7,
    "ENTITY": 0.6,
    "EVENT": 0.5,
    "STATUS": 0.3,
}
SOURCES = {
    "api": 0.8,
    "auto_summarization_job": 0.7,
    "github": 0.7,
    "notion": 0.7,
    "google_drive": 0.6,
    "onedrive": 0.6,
}
PLANS = {"free": 0.3, "pro": 0.6, "enterprise": 1.0}


class Facts(NamedTuple):
    """What a score is made of; without a text that can be read, its size and density are taken to be average."""

    text: str | None
    extracted_type: str
    source: str
    plan: str
    usage_count: int
    last_used_at: datetime


def importance(facts: Facts, weights: Sequence[float], now: datetime) -> int:
    """The score at `now`, a whole number from 0 to 100."""
    total = sum(weight * value for weight, value in zip(weights, _dimensions(facts, now), strict=True))
    return min(max(round(100 * total), 0), 100)


def _dimensions(facts: Facts, now: datetime) -> tuple[float, ...]:
    days = max((now - facts.last_used_at).total_seconds() / _DAY, 0.0)  # never negative: a clock may be set back
    return (
        0.5 ** (days / _HALF_LIFE_DAYS),
        min(math.log2(1 + facts.usage_count) / _MANY_RECALLS, 1.0),
        CONTENT_TYPES.get(facts.extracted_type.upper(), _UNKNOWN),
        SOURCES.get(facts.source, _UNKNOWN),
        _UNKNOWN if facts.text is None else min(len(facts.text) / _WHOLE_SIZE, 1.0),
        _UNKNOWN if facts.text is None else _density(facts.text),
        PLANS.get(facts.plan, _UNKNOWN),
    )


def _density(text: str) -> float:
    words = text.lower().split()
    return len(set(words)) / len(words) if words else 0.0
