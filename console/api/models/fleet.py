"""Queues and workers."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from console.api.models._base import Answer, Asked, Time, Why


class Queue(Answer):
    """One queue; null is what only the broker knows, when it does not answer."""

    queue: str
    ready: int | None
    claimed: int | None
    delayed: int | None
    orphaned: int | None
    oldest_ready_seconds: float | None
    paused: bool | None
    limit: int | None = Field(description="How many may be worked on at once; null: as many as there are threads.")
    pending: int
    waiting: int = Field(description="Runs between two attempts.")
    running: int
    oldest_pending_at: Time | None
    dead: int
    workers: int


class Queues(Answer):
    """All queues."""

    items: list[Queue]
    broker_error: str = Field(description="Why the broker's half is not known; empty when it answered.")


class QueueLimit(Asked):
    """How many messages of a queue may be worked on at once, over all workers."""

    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(description="Null takes the limit away.")
    why: Why = ""


class Breaker(Answer):
    """A circuit breaker: whether a target outside is left alone."""

    key: str = Field(description="`kind:target`.")
    state: Literal["closed", "open", "half_open"]
    failures: int = Field(description="In a row.")
    threshold: int = Field(description="It opens after so many.")
    cooldown: float = Field(description="Seconds that it stays open.")
    unwell_since: Time | None
    opened_at: Time | None
    probe_at: Time | None = Field(description="When a call may probe; null: it is closed.")
    last_failure_at: Time | None
    last_error: str | None
    changed_at: Time


class Breakers(Answer):
    """Circuit breakers."""

    items: list[Breaker]


class ResetBreaker(Asked):
    """Which breaker to close."""

    key: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    why: Why = ""


class Worker(Answer):
    """One worker process."""

    id: UUID
    host: str
    pid: int
    version: str
    queues: list[str]
    threads: int
    busy: int
    state: str
    shown: str = Field(description="As people should read it: `silent` when its lease is over.")
    started_at: Time
    heartbeat_at: Time
    lease_until: Time


class Workers(Answer):
    """All workers."""

    items: list[Worker]
