"""Callboard: background jobs on Dramatiq, with every run in Postgres."""

from __future__ import annotations

import callboard._lean  # noqa: F401 - before anything imports these libraries whole
from callboard import outbox
from callboard.breakers import Breaker, breaker
from callboard.cadence import Cadence, cron, every
from callboard.compose import get_broker, make_broker
from callboard.dispatch import trigger
from callboard.errors import (
    ArgumentsError,
    AuthenticationError,
    BreakerOpen,
    CallboardError,
    DeclarationError,
    DuplicateRun,
    JobError,
    LedgerUnavailable,
    NotFound,
    PermanentError,
    Postponed,
    ReplayRefused,
    TransientError,
)
from callboard.health import health_check
from callboard.http import http_client
from callboard.job import Job, all_jobs, get_job, job
from callboard.ledger.database import autocommit, transaction
from callboard.objective import Slo
from callboard.outside import HttpAnswer, NotPublic, post_pinned
from callboard.retry import Backoff, Delays, NoRetry
from callboard.run import Run, current_run
from callboard.sealing import seal, unseal
from callboard.settings import Settings, get_settings
from callboard.spec import JobSpec

__all__ = [  # noqa: RUF022 - grouped under headings, as a reader looks for them
    # Declaring jobs
    "job",
    "Job",
    "JobSpec",
    "cron",
    "every",
    "Cadence",
    "Backoff",
    "Delays",
    "NoRetry",
    "Slo",
    "health_check",
    # Inside a job
    "current_run",
    "Run",
    "transaction",
    "autocommit",
    "http_client",
    "post_pinned",
    "HttpAnswer",
    "NotPublic",
    "breaker",
    "Breaker",
    "seal",
    "unseal",
    # Asking for runs
    "trigger",
    "outbox",
    "get_job",
    "all_jobs",
    # Setting up
    "get_settings",
    "Settings",
    "get_broker",
    "make_broker",
    # Errors
    "CallboardError",
    "JobError",
    "TransientError",
    "PermanentError",
    "AuthenticationError",
    "BreakerOpen",
    "Postponed",
    "DeclarationError",
    "ArgumentsError",
    "DuplicateRun",
    "LedgerUnavailable",
    "NotFound",
    "ReplayRefused",
]
