"""The board at one moment: what `callboard top` shows, and takes rates of."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Json, Time
from console.api.models.runs import Progress


class NowQueue(Answer):
    """One queue; null is not known."""

    queue: str
    ready: int | None
    claimed: int | None = Field(description="By workers that live.")
    delayed: int | None
    orphaned: int | None = Field(description="Claimed by workers whose lease is over.")
    dead: int | None
    oldest_ready_age_seconds: float | None
    consumers: int | None
    paused: bool | None
    max_age_seconds: float | None = Field(description="What was promised.")


class NowSchedule(Answer):
    """One schedule."""

    schedule: str
    job: str
    queue: str
    cadence: str
    interval_seconds: float
    enabled: bool
    created_at: Time
    last_success_at: Time | None
    next_run_at: Time | None
    last_duration_seconds: float | None
    consecutive_failures: int
    max_age_seconds: float | None = Field(description="That its last success may be old.")
    owner: str
    tier: str


class NowJob(Answer):
    """One job."""

    job: str
    queue: str
    dead_letters: int
    oldest_running_age_seconds: float
    time_limit_seconds: float | None


class NowEnded(Answer):
    """Attempts of one job that have ended since its first run."""

    queue: str
    attempts: int
    failed: int
    retried: int
    seconds: float = Field(description="That they ran, together.")


class NowRun(Answer):
    """One run that is running."""

    id: UUID
    job: str
    queue: str
    attempt: int
    seconds: float
    progress: Progress | None
    counts: Json | None
    cancel_requested_at: Time | None
    all_of_them: int = Field(description="How many runs there are, of which the longest 200 are told.")


class NowWorker(Answer):
    """One worker process."""

    id: UUID
    host: str
    pid: int
    state: str
    busy: int
    threads: int
    started_at: Time
    heartbeat_at: Time
    lease_until: Time
    seconds_since_heartbeat: float
    version: str
    queues: list[str]


class NowLedger(Answer):
    """What only the ledger knows."""

    ended: dict[str, NowEnded] = Field(description="By job.")
    running: list[NowRun]
    workers: list[NowWorker]
    scheduler: Literal["leading", "standby", "away"]
    critical: int = Field(0, description="Critical issues that are open and not silenced.")


class Now(Answer):
    """Everything at one moment; what a server that is down would know is empty or null."""

    moment: Time
    queues: list[NowQueue]
    schedules: list[NowSchedule]
    jobs: list[NowJob]
    ledger: NowLedger | None
    down: dict[str, str] = Field(description="Which of `broker` and `postgres` does not answer, and why.")
