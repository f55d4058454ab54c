"""What the exporter is told at a scrape: facts of one moment, gathered by the engine from Postgres and the broker.

Ages and durations are in seconds, moments are aware datetimes in UTC, `missed` only ever grows. A value of None is not
known and gives no series; zero is a fact and is shown as 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = [
    "BROKER",
    "POSTGRES",
    "RUN_BUCKETS",
    "SOURCES",
    "BreakerFacts",
    "JobFacts",
    "QueueFacts",
    "ScheduleFacts",
    "Snapshot",
    "SourceState",
    "WorkersFacts",
]

BROKER = "broker"
POSTGRES = "postgres"
SOURCES = (BROKER, POSTGRES)

#: Upper bounds of the buckets of run durations, in seconds; what took longer is in the count only.
RUN_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether a source answered, and after how many seconds."""

    up: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue.

    Promise and time limit are settings; `dead`, `consumers` and the canary are from Postgres, all else from the broker.
    A message is in one state only: `claimed` by a worker that lives, or `orphaned`, by one whose lease is over.
    An age is 0 when there is nothing of that age. `canary_at` is when the canary last succeeded, or was declared.
    """

    queue: str
    ready: int | None = None
    claimed: int | None = None
    delayed: int | None = None
    dead: int | None = None
    orphaned: int | None = None
    oldest_ready_age_seconds: float | None = None
    oldest_delayed_overdue_seconds: float | None = None
    dead_oldest_age_seconds: float | None = None
    consumers: int | None = None
    paused: bool | None = None
    max_age_seconds: float | None = None
    longest_time_limit_seconds: float | None = None
    canary_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """One schedule; a moment is None as long as the thing has never happened.

    `missed` is due ticks that gave no run of their own, by `catalogue.MISS_REASONS`; other keys are summed under
    "_other". `last_records` is the sum of what the last run counted.
    """

    schedule: str
    job: str
    queue: str
    cadence: str
    interval_seconds: float
    enabled: bool
    created_at: datetime
    last_success_at: datetime | None = None
    last_start_at: datetime | None = None
    last_completion_at: datetime | None = None
    next_run_at: datetime | None = None
    last_duration_seconds: float | None = None
    last_records: float | None = None
    consecutive_failures: int = 0
    max_age_seconds: float | None = None
    owner: str = ""
    tier: str = "page"
    missed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job as it stands now.

    `oldest_running_age_seconds` is 0 when none runs; `time_limit_seconds` is None without a limit.
    """

    job: str
    queue: str
    dead_letters: int = 0
    oldest_running_age_seconds: float = 0.0
    time_limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BreakerFacts:
    """Circuit breakers of one kind of target in one state; `open_seconds`: of the one longest not closed, else 0."""

    kind: str
    state: str
    breakers: int
    open_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkersFacts:
    """Worker processes by heartbeat: `alive` within its time, `stale` beyond it and not yet swept."""

    alive: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All facts of one moment. A source that is not in `sources` counts as down.

    Attributes:
        queues: The declared ones.
        schedules: The declared ones.
        jobs: The declared ones.
        workers: None: not known.
        workers_expected: How many there should be; None: not said.
        clock_skew_seconds: The broker's clock less this host's.
        objectives: Share of runs that must be good, by the name of the objective.
        outbox_oldest_age_seconds: Of the oldest committed message that was not sent; 0 when all were.
        table_rows: Estimates, by table.
        breakers: Circuit breakers by kind and state.
        sources: How each source answered.
    """

    queues: tuple[QueueFacts, ...] = ()
    schedules: tuple[ScheduleFacts, ...] = ()
    jobs: tuple[JobFacts, ...] = ()
    workers: WorkersFacts | None = None
    workers_expected: int | None = None
    clock_skew_seconds: float | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)
    outbox_oldest_age_seconds: float | None = None
    table_rows: Mapping[str, float] = field(default_factory=dict)
    breakers: tuple[BreakerFacts, ...] = ()
    sources: Mapping[str, SourceState] = field(default_factory=dict)
