"""What the ledger is told about a run, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as its message tells it; what the ledger needs to write its row."""

    id: UUID
    created_at: datetime
    job: str
    queue: str
    trigger: str
    correlation_id: str
    scope: str = ""
    parent_id: UUID | None = None
    args: dict[str, Any] = field(default_factory=dict)
    scheduled_for: datetime | None = None
    missed: int = 0
    eligible_at: datetime | None = None
    notify: tuple[str, ...] = ()
    payload: bytes = b""
    delivery: str = ""
    single: bool = False
    recurring: bool = False
    durable: bool = False
    concurrency: int | None = None
    rate: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run said of itself: its counts, notes and last progress."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The attempt may run; only the holder of `token` may finish it."""

    attempt: int
    token: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The attempt must not run.

    `ended`: the run is over, the message is left over. `overlap`: another run holds the claim (`detail` is its id).
    `early`, `elsewhere`, `limit`: try again in `delay` seconds. `poison`: it killed its worker too often.
    """

    reason: Literal["ended", "overlap", "early", "elsewhere", "limit", "poison"]
    delay: float = 0.0
    detail: str = ""


def dumps(value: object) -> str | None:
    """JSON for a jsonb parameter; None stays SQL's null. What JSON cannot hold becomes its repr; NUL is dropped."""
    if value is None:
        return None
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
    return orjson.dumps(value, default=repr, option=options).decode().replace("\\u0000", "")
