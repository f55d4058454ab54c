"""What the exporter is told at a scrape: facts of one moment, gathered by the engine from Postgres and the broker.

Ages and durations are in seconds, moments are aware datetimes in UTC, counts only ever grow. A value of None is not
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
    "JobFacts",
    "OccurrenceFacts",
    "QueueFacts",
    "RunDurations",
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
    """One queue; `dead` and `consumers` are from Postgres, all else is from the broker.

    A message is in one state only: `claimed` by a worker that lives, or `orphaned`, by one whose lease is over.
    `oldest_ready_age_seconds` is 0 when nothing is ready.
    """

    queue: str
    ready: int | None = None
    claimed: int | None = None
    delayed: int | None = None
    dead: int | None = None
    orphaned: int | None = None
    oldest_ready_age_seconds: float | None = None
    consumers: int | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class ScheduleFacts:
    """One schedule; a moment is None as long as the thing has never happened."""

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
    consecutive_failures: int = 0
    max_age_seconds: float | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class RunDurations:
    """A histogram: `cumulative[i]` runs took at most `RUN_BUCKETS[i]` seconds, `count` all of them `total_seconds`."""

    cumulative: tuple[int, ...] = (0,) * len(RUN_BUCKETS)
    total_seconds: float = 0.0
    count: int = 0

    def __post_init__(self) -> None:
        grows = (*self.cumulative, self.count)
        if len(self.cumulative) != len(RUN_BUCKETS) or list(grows) != sorted(grows):
            raise ValueError(
                f"cumulative={self.cumulative} with count={self.count} is no histogram: "
                f"give {len(RUN_BUCKETS)} counts, one for each bound of RUN_BUCKETS, none less than the one before"
            )


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job's totals since its first run.

    They must not fall when old runs are pruned: Prometheus takes a fall for a restart and counts the rest anew.
    `runs` is by `catalogue.RESULTS`, `attempts` by `catalogue.OUTCOMES`; other keys are summed under "_other".
    `oldest_running_age_seconds` is 0 when none runs; `time_limit_seconds` is None without a limit.
    """

    job: str
    queue: str
    runs: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    durations: RunDurations = field(default_factory=RunDurations)
    oldest_running_age_seconds: float = 0.0
    time_limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class WorkersFacts:
    """Worker processes by heartbeat: `alive` within its time, `stale` beyond it and not yet swept."""

    alive: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class OccurrenceFacts:
    """Due ticks of a schedule that gave no run of their own; `reason` is one of `catalogue.MISS_REASONS`."""

    schedule: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All facts of one moment. A source that is not in `sources` counts as down."""

    queues: tuple[QueueFacts, ...] = ()
    schedules: tuple[ScheduleFacts, ...] = ()
    jobs: tuple[JobFacts, ...] = ()
    workers: WorkersFacts | None = None
    missed: tuple[OccurrenceFacts, ...] = ()
    sources: Mapping[str, SourceState] = field(default_factory=dict)
