"""Jobs, as they are declared, and the schedules of the recurring ones."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Time


class Job(Answer):
    """One declared job; durations in seconds."""

    job: str
    queue: str
    cadence: str | None = Field(description="Null: it runs on request only.")
    cadence_words: str | None
    next_at: Time | None
    time_limit_seconds: float
    single: bool
    single_per: str | None
    durable: bool
    on_crash: Literal["redeliver", "fail"]
    retry: str
    priority: int
    scope: Literal["system", "project"]
    permission: str = Field(description="The scope that a key needs to trigger it.")
    owner: str
    module: str
    doc: str
    arguments: list[str] = Field(description="The names of what it takes.")


class Tick(Answer):
    """One due moment of a schedule."""

    scheduled_for: Time
    outcome: Literal["fired", "coalesced", "skipped"]
    reason: str | None
    coalesced_into: Time | None
    run_id: UUID | None
    run_state: str | None
    run_started_at: Time | None
    run_finished_at: Time | None


class Schedule(Answer):
    """One schedule; durations in seconds."""

    job: str
    queue: str
    cadence: str
    cadence_words: str
    interval_seconds: float
    declared: bool = Field(description="False: no loaded module declares it any more.")
    created_at: Time
    paused_at: Time | None
    paused_by: str | None
    last_start_at: Time | None
    last_success_at: Time | None
    last_completion_at: Time | None
    last_duration_seconds: float | None
    last_state: str | None
    consecutive_failures: int
    next_fires: list[Time] = Field(description="None while it is paused or retired.")
    overdue_seconds: float = Field(description="How long a success is overdue.")
    last_ticks: list[Tick] = Field(validation_alias="ticks", description="Oldest first.")
    on_time: float | None = Field(description="Of these ticks, the part from 0 to 1 whose run started in time.")


class Jobs(Answer):
    """All declared jobs."""

    items: list[Job]


class Schedules(Answer):
    """All schedules."""

    items: list[Schedule]
