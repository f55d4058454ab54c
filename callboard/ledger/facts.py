"""What the ledger is told about a run, and what it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import orjson

if TYPE_CHECKING:
    from callboard.outcome import Outcome


@dataclass(slots=True)
class RunFacts:
    """A run as its message tells it; what the ledger needs to write its row. Not frozen: that costs 3 µs a run."""

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
    interval: float = 0.0  #: seconds between two ticks of its job, if that is recurring
    durable: bool = False
    concurrency: int | None = None
    rate: tuple[int, float] | None = None
    crashes: int = 0
    project_id: str | None = None

    @property
    def concern(self) -> str:
        """What its failures are folded by: the scope, and never beyond one project."""
        if self.project_id is None or self.project_id == self.scope:
            return self.scope
        return f"{self.project_id} {self.scope}".rstrip()


@dataclass(slots=True)
class Report:
    """What a run said of itself: its counts, notes, last progress, token usages and last log lines; redacted."""

    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] | None = None
    tokens: list[dict[str, Any]] | None = None
    log: list[dict[str, Any]] | None = None
    quiet: bool = False  #: that it completed is no news


@dataclass(slots=True)
class Started:
    """The attempt may run; only the holder of `token` may finish it.

    `recorded` is False for the first attempt of a run that has no row yet: the row is written when the attempt ends,
    or, if it takes longer, while it runs. Until then the broker's delivery is what proves the start.
    """

    attempt: int
    token: int
    recorded: bool = True


@dataclass(slots=True)
class Ending:
    """How an attempt ended, as the recorder is told.

    Attributes:
        facts: The run.
        started: What the recorder answered when it started.
        outcome: How it ended.
        report: What the run said of itself.
        delivery: The broker's id of the message that a retry will come back as.
        seconds: Its run time.
        ended: `time.monotonic()` at its end; the ledger's clock, less the time since then, gives `finished_at`.
        cpu: Seconds of CPU time that its thread used.
        trace: Ids of the trace and of the span it ran in, if that one is kept; for exemplars.
    """

    facts: RunFacts
    started: Started
    outcome: Outcome
    report: Report
    delivery: str
    seconds: float
    ended: float
    cpu: float = 0.0
    trace: tuple[str, str] | None = None


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
    """JSON for a parameter; None stays SQL's null. What JSON cannot hold becomes its repr; NUL is dropped."""
    if value is None:
        return None
    try:
        text = _encode(value)
    except TypeError:
        text = _encode(_encodable(value))
    return _NUL.sub(r"\1", text) if "\\u0000" in text else text


def readable(text: str) -> str:
    """Text that Postgres takes: without NUL, and with lone surrogates, e.g. of odd file names, spelled out."""
    return text.replace("\x00", "").encode("utf-8", "backslashreplace").decode()


_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # not the letters `\\u0000` of a text about it


def _encode(value: object) -> str:
    return orjson.dumps(value, default=repr, option=_OPTIONS).decode()


def _encodable(value: object, depth: int = 0) -> object:
    """A copy without lone surrogates, numbers beyond 64 bits and what nests too deep, each as text instead."""
    match value:
        case str():
            return readable(value)
        case dict() if depth < _DEEPEST:
            return {_encodable(str(key)): _encodable(one, depth + 1) for key, one in value.items()}
        case list() | tuple() if depth < _DEEPEST:
            return [_encodable(one, depth + 1) for one in value]
        case None | bool() | float() | UUID() | datetime():
            return value
        case int() if -_BEYOND <= value < _BEYOND:
            return value
        case _:
            return _encodable(repr(value)[:_LONGEST])


_DEEPEST, _LONGEST, _BEYOND = 100, 1000, 2**63
