"""An imagined installation and its worst night: what was declared, and what went wrong when.

Six hours that end at 03:02 UTC. Until 01:15 an ordinary night; then a deploy, a dependency that fails, a host of
workers that dies, a backlog, dead letters, and a scheduler that is away for some minutes. It is not over yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

END = int(datetime(2026, 5, 4, 3, 2, tzinfo=UTC).timestamp())
HOURS = 6
START = END - HOURS * 3600
MINUTE = 60
DEPLOY, ERRORS, WORKER_DIES = START + 255 * MINUTE, START + 265 * MINUTE, START + 280 * MINUTE
POSTGRES_AWAY = (START + 300 * MINUTE, START + 303 * MINUTE)
SCHEDULER_AWAY = (START + 305 * MINUTE, START + 312 * MINUTE)
MENDED = WORKER_BACK = END + MINUTE
HOSTS = ("worker-1:9192", "worker-2:9192")
THREADS = 8


@dataclass(frozen=True)
class Job:
    """A job, how often it comes per second, and for how long it runs."""

    name: str
    queue: str
    rate: float
    seconds: float
    limit: float = 600
    cpu: float = 0.3
    fragile: bool = False


@dataclass(frozen=True)
class Schedule:
    """A cadence of a job of the same name; `succeeded` is how long before the end it last did, None: never."""

    name: str
    queue: str
    every: float
    seconds: float
    cron: str
    owner: str = "platform"
    tier: str = "ticket"
    enabled: bool = True
    breaks: bool = False
    never: bool = False


JOBS = (
    Job("webhook.deliver", "webhooks", 3.0, 0.9, 30, 0.05, fragile=True),
    Job("mail.send", "mail", 1.2, 0.4, 60, 0.1, fragile=True),
    Job("thumbnail.render", "media", 0.7, 4.0, 120, 0.85),
    Job("transcript.index", "media", 0.2, 9.0, 900, 0.6),
)
SCHEDULES = (
    Schedule("auto_summarization_job", "maintenance", 300, 42, "*/5 * * * *", "assistant", "page"),
    Schedule("session_expiry_job", "maintenance", 60, 3, "* * * * *"),
    Schedule("tier_transition_job", "maintenance", 3600, 95, "0 * * * *", "memory"),
    Schedule("revenue_sync_job", "maintenance", 900, 28, "*/15 * * * *", "revenue", "page", breaks=True),
    Schedule("nightly_report_job", "maintenance", 86400, 840, "30 1 * * *", "revenue"),
    Schedule("weekly_digest_job", "mail", 604800, 60, "0 6 * * 1", "social", never=True),
    Schedule("legacy_import_job", "maintenance", 3600, 20, "15 * * * *", enabled=False),
)
QUEUES = {"webhooks": 60.0, "mail": 120.0, "media": 300.0, "maintenance": 600.0}
SLOS = {"webhook.deliver": (0.99, "webhooks"), "queue:media": (0.95, "media"), "queue:mail": (0.995, "mail")}
EVERY_JOB = (
    *JOBS,
    *(Job(s.name, s.queue, 1 / s.every, s.seconds, s.seconds * 5 + 60, 0.2, s.breaks) for s in SCHEDULES),
)


def wobble(at: float, seed: int) -> float:
    """About 1, slowly and quickly changing, the same at each call."""
    return (
        1
        + 0.1 * math.sin(at / 900 + seed)
        + 0.06 * math.sin(at / 137 + 2.3 * seed)
        + 0.04 * math.sin(at / 41 + seed**2)
    )


def traffic(at: float) -> float:
    """Share of the usual traffic: it ebbs away towards the small hours."""
    return 0.85 + 0.15 * math.cos((at - START) / (HOURS * 3600) * math.pi)


def broken(job: Job, at: float) -> float:
    """Share of attempts that raise."""
    ordinary = 0.004 * wobble(at, len(job.name))
    if not job.fragile or not ERRORS <= at < MENDED:
        return ordinary
    return 0.45 * wobble(at, 3) if job.name == "webhook.deliver" else 0.12


def hosts(at: float) -> tuple[str, ...]:
    """The hosts that live; worker-2 is killed again and again, and then stays away."""
    return HOSTS[:1] if WORKER_DIES <= at < WORKER_BACK else HOSTS
