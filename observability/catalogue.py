"""The table of metrics: the exporter serves exactly these, and docs/reference/metrics.md is built from here.

Names are an interface: alert rules and dashboards of others stand on them. Base units; `_total` for counters; a job's
name is the label `actor`, because a label `job` would become `exported_job` when Prometheus scrapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observability.snapshot import BROKER, POSTGRES

__all__ = ["CATALOGUE", "LABEL_VALUES", "MISS_REASONS", "OTHER", "OUTCOMES", "PREFIX", "QUEUE_STATES", "RESULTS"]
__all__ += ["WORKER_STATES", "Kind", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]

PREFIX = "callboard_"
#: Where a value that is in none of these lists is counted, so that nothing is lost and no label grows.
OTHER = "_other"
QUEUE_STATES = ("ready", "claimed", "delayed", "dead", "orphaned")
OUTCOMES = ("success", "retry", "failed", "skipped", "expired", "cancelled", "shutdown")
RESULTS = ("success", "failed", "expired", "cancelled", "skipped")
MISS_REASONS = ("late", "scheduler_down", "overlap", "disabled")
WORKER_STATES = ("alive", "stale")

LABEL_VALUES = {
    "state (queue)": QUEUE_STATES,
    "state (workers)": WORKER_STATES,
    "outcome": OUTCOMES,
    "result": RESULTS,
    "reason": MISS_REASONS,
    "source": (BROKER, POSTGRES),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; `source` is what it is read from, and it has no series while that is down."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: str
    help: str


def _gauge(name: str, labels: str, source: str, text: str) -> Metric:
    return Metric(PREFIX + name, "gauge", tuple(labels.split()), source, text)


def _counter(name: str, labels: str, source: str, text: str) -> Metric:
    return Metric(PREFIX + name, "counter", tuple(labels.split()), source, text)


_DEPTH = (
    "Messages in the queue, each in one state; orphaned ones are held by a worker whose lease is over, and go back to "
    "their queue within seconds."
)
_QUEUES = (
    _gauge("queue_depth", "queue state", f"{BROKER}, {POSTGRES} for dead", _DEPTH),
    _gauge("queue_oldest_ready_age_seconds", "queue", BROKER, "Age of the oldest ready message; 0 when none is ready."),
    _gauge("queue_consumers", "queue", "where workers register", "Live worker processes that take from the queue."),
    _gauge("queue_paused", "queue", BROKER, "1 while the queue is paused by an operator."),
)

_SCHEDULES = (
    _gauge(
        "schedule_last_success_timestamp_seconds",
        "schedule actor",
        POSTGRES,
        "Unix time at which the last successful run ended; no series before the first.",
    ),
    _gauge(
        "schedule_last_start_timestamp_seconds",
        "schedule actor",
        POSTGRES,
        "Unix time at which the last run started; no series before the first.",
    ),
    _gauge(
        "schedule_last_completion_timestamp_seconds",
        "schedule actor",
        POSTGRES,
        "Unix time at which the last run ended, well or not; no series before the first.",
    ),
    _gauge(
        "schedule_next_run_timestamp_seconds",
        "schedule actor",
        POSTGRES,
        "Unix time at which the schedule is due next.",
    ),
    _gauge(
        "schedule_created_timestamp_seconds",
        "schedule actor",
        POSTGRES,
        "Unix time since which the schedule is known; stands in for a last success that never was.",
    ),
    _gauge(
        "schedule_last_duration_seconds",
        "schedule actor",
        POSTGRES,
        "Run time of the last run that ended.",
    ),
    _gauge(
        "schedule_max_age_seconds",
        "schedule",
        POSTGRES,
        "Age of the last success beyond which the schedule is overdue.",
    ),
    _gauge(
        "schedule_interval_seconds",
        "schedule",
        POSTGRES,
        "Time between two due ticks; the longest one where they differ.",
    ),
    _gauge("schedule_enabled", "schedule", POSTGRES, "1 while the schedule fires, 0 while it is paused."),
    _gauge("schedule_consecutive_failures", "schedule", POSTGRES, "Failed runs since the last successful one."),
    _counter("schedule_missed_total", "schedule reason", POSTGRES, "Due ticks that gave no run of their own."),
    _gauge(
        "schedule_info",
        "schedule actor queue cron timezone owner",
        POSTGRES,
        "Always 1; what the schedule is, for joins.",
    ),
)

_JOBS = (
    _counter(
        "attempts_total",
        "queue actor outcome",
        POSTGRES,
        "Attempts that ended; each has exactly one outcome.",
    ),
    _counter(
        "finished_total",
        "queue actor result",
        POSTGRES,
        "Runs that ended for good; a run counts once, however many attempts it took.",
    ),
    Metric(
        PREFIX + "run_duration_seconds",
        "histogram",
        ("queue", "actor"),
        POSTGRES,
        "Run time of attempts, without waiting.",
    ),
    _gauge("dead_letters", "queue actor", POSTGRES, "Messages given up on that wait for a replay or a discard."),
    _gauge("oldest_running_age_seconds", "actor", POSTGRES, "Run time so far of the oldest run; 0 when none runs."),
    _gauge("actor_time_limit_seconds", "actor", POSTGRES, "Time limit of an attempt; no series without one."),
)

_PLATFORM = (
    _gauge("workers", "state", "where workers register", "Worker processes, by the age of their heartbeat."),
    _gauge("exporter_source_up", "source", "exporter", "1 if the source answered at this scrape."),
    _gauge("exporter_collect_duration_seconds", "source", "exporter", "Time the source took to answer, or to fail."),
)

CATALOGUE: tuple[Metric, ...] = (*_QUEUES, *_SCHEDULES, *_JOBS, *_PLATFORM)
