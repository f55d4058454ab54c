"""The table of metrics: every process serves exactly its rows, and docs/reference/metrics.md is built from here.

Names are an interface: alert rules and dashboards of others stand on them. Base units; `_total` for counters; a job's
name is the label `actor`, because a label `job` would become `exported_job` when Prometheus scrapes it.

Events are counted where they happen: by the workers, the scheduler and whoever enqueues. State is read by the exporter
from the broker and the ledger when it is scraped, so that it outlives every restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from observability.snapshot import BROKER, POSTGRES, RUN_BUCKETS

__all__ = ["CATALOGUE", "LABEL_VALUES", "MISS_REASONS", "OTHER", "OUTCOMES", "PREFIX", "QUEUE_STATES", "RESULTS"]
__all__ += ["ENQUEUE_SOURCES", "RECORD_KINDS", "WAIT_BUCKETS", "WORKER_STATES", "Kind", "Metric", "Process", "of"]

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["worker", "scheduler", "exporter"]

PREFIX = "callboard_"
#: Where a value that is in none of these lists is counted, so that nothing is lost and no label grows.
OTHER = "_other"
QUEUE_STATES = ("ready", "claimed", "delayed", "dead", "orphaned")
OUTCOMES = ("success", "retry", "failed", "skipped", "expired", "cancelled", "shutdown", "postponed")
RESULTS = ("success", "failed", "expired", "cancelled", "skipped")
MISS_REASONS = ("late", "scheduler_down", "overlap", "disabled")
WORKER_STATES = ("alive", "stale")
BREAKER_STATES = ("closed", "half_open", "open")
ENQUEUE_SOURCES = ("api", "schedule", "retry", "chain", "replay")
RECORD_KINDS = ("read", "written", "rejected")
#: Upper bounds of the buckets of waiting times, in seconds.
WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)

LABEL_VALUES = {
    "state (queue)": QUEUE_STATES,
    "state (workers)": WORKER_STATES,
    "outcome": OUTCOMES,
    "result": RESULTS,
    "result (SLO)": ("good", "bad"),
    "reason": MISS_REASONS,
    "source": (BROKER, POSTGRES),
    "source (enqueued)": ENQUEUE_SOURCES,
    "kind": RECORD_KINDS,
    "tier": ("page", "ticket"),
    "result (notifications)": ("sent", "failed"),
    "state (breakers)": BREAKER_STATES,
    "channel": ("mail", "telegram", "webhook", "apprise"),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: With the prefix, and `_total` for a counter.
        kind: What it is to Prometheus.
        labels: Their names, in order.
        source: What it is read from; it has no series while that is down.
        help: For people.
        process: Which process serves it.
        buckets: Upper bounds of a histogram's buckets, in seconds.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    source: str
    help: str
    process: Process = "exporter"
    buckets: tuple[float, ...] = ()


def of(process: Process) -> tuple[Metric, ...]:
    """The rows that one kind of process serves."""
    return tuple(metric for metric in CATALOGUE if metric.process == process)


def _gauge(name: str, labels: str, source: str, text: str) -> Metric:
    return Metric(PREFIX + name, "gauge", tuple(labels.split()), source, text)


def _counter(name: str, labels: str, source: str, text: str) -> Metric:
    return Metric(PREFIX + name, "counter", tuple(labels.split()), source, text)


def _event(kind: Kind, name: str, labels: str, text: str, *, process: Process = "worker") -> Metric:
    return Metric(PREFIX + name, kind, tuple(labels.split()), process, text, process)


def _time(name: str, labels: str, text: str, buckets: tuple[float, ...], *, process: Process = "worker") -> Metric:
    return Metric(PREFIX + name, "histogram", tuple(labels.split()), process, text, process, buckets)


_EVENTS = (
    _event(
        "counter",
        "enqueued_total",
        "queue actor source",
        "Messages handed to the broker by workers and schedulers, retries included.",
    ),
    _event("counter", "attempts_total", "queue actor outcome", "Attempts that ended; each has exactly one outcome."),
    _event(
        "counter",
        "finished_total",
        "queue actor result",
        "Runs that ended for good; a run counts once, however many attempts it took.",
    ),
    _event("counter", "errors_total", "actor error_type", "Attempts that raised, by the class of the exception."),
    _time("run_duration_seconds", "queue actor", "Run time of attempts, without waiting.", RUN_BUCKETS),
    _time(
        "queue_wait_seconds",
        "queue",
        "From the moment a message may start to its start; the delay before a retry is no waiting.",
        WAIT_BUCKETS,
    ),
    _time(
        "end_to_end_seconds",
        "queue",
        "From the creation of a run to its end for good, waiting and retries included.",
        WAIT_BUCKETS,
    ),
    _event("gauge", "in_progress", "queue actor", "Attempts that run right now."),
    _event("gauge", "worker_threads", "", "Threads of the worker processes."),
    _event("gauge", "worker_threads_busy", "", "Threads that run a job right now."),
    _event("gauge", "worker_prefetched_messages", "", "Messages that a worker process holds and has not begun."),
    _event("counter", "run_cpu_seconds_total", "actor", "CPU time of the thread that ran the attempts."),
    _event(
        "counter",
        "records_processed_total",
        "actor kind",
        "What jobs counted as `read`, `written` or `rejected`; other names are summed as _other.",
    ),
    _event(
        "gauge",
        "last_progress_timestamp_seconds",
        "actor",
        "Unix time at which a run last reported progress, or started, if runs of its job report any.",
    ),
    _event("counter", "redeliveries_total", "queue actor", "Starts of messages whose earlier worker died."),
    _event("counter", "broker_errors_total", "op", "Calls to the broker that failed."),
    _event("gauge", "worker_start_time_seconds", "", "Unix time at which the latest worker process started."),
    _event("counter", "worker_restarts_total", "reason", "Worker processes that were replaced."),
    _event("gauge", "worker_build_info", "version revision python dramatiq", "Always 1; what runs."),
    _event(
        "counter",
        "slo_events_total",
        "slo result",
        "Runs that ended for good: `good` if they succeeded within their objective's time.",
    ),
    _event("counter", "notifications_total", "channel result", "Attempts to send a notification: `sent` or `failed`."),
    _event(
        "counter",
        "breaker_openings_total",
        "kind",
        "Circuit breakers that opened, and opened anew after a probe that failed, by the kind of their target.",
    ),
    _event("counter", "telemetry_dropped_total", "signal reason", "Spans, exemplars and labels that were given up."),
    _event(
        "gauge",
        "scheduler_last_tick_timestamp_seconds",
        "",
        "Unix time of the scheduler's last look at the cadences.",
        process="scheduler",
    ),
    _event("gauge", "scheduler_leader", "", "1 in the scheduler that leads, 0 in a standby.", process="scheduler"),
    _time(
        "scheduler_tick_lag_seconds",
        "",
        "From the moment a tick was due to its message's being sent.",
        WAIT_BUCKETS,
        process="scheduler",
    ),
)

_DEPTH = (
    "Messages in the queue, each in one state; orphaned ones are held by a worker whose lease is over, and go back to "
    "their queue within seconds."
)
_QUEUES = (
    _gauge("queue_depth", "queue state", f"{BROKER}, {POSTGRES} for dead", _DEPTH),
    _gauge("queue_oldest_ready_age_seconds", "queue", BROKER, "Age of the oldest ready message; 0 when none is ready."),
    _gauge("queue_consumers", "queue", "where workers register", "Live worker processes that take from the queue."),
    _gauge("queue_paused", "queue", BROKER, "1 while the queue is paused by an operator."),
    _gauge(
        "queue_max_age_seconds",
        "queue",
        "settings",
        "The queue's promise: the age of its oldest ready message beyond which it is late.",
    ),
    _gauge(
        "queue_oldest_delayed_overdue_seconds",
        "queue",
        BROKER,
        "How long the first delayed message has been due; 0 when none is.",
    ),
    _gauge(
        "queue_dead_oldest_age_seconds",
        "queue",
        POSTGRES,
        "Age of the oldest open dead letter; 0 when there is none. They never expire.",
    ),
    _gauge("queue_longest_time_limit_seconds", "queue", "settings", "The longest time limit of the queue's jobs."),
    _gauge(
        "canary_last_success_timestamp_seconds",
        "queue",
        POSTGRES,
        "Unix time at which the queue's canary job last succeeded; when it was declared, before the first success.",
    ),
)

_SCHEDULES = (
    _gauge(
        "schedule_last_success_timestamp_seconds",
        "schedule actor tier",
        POSTGRES,
        "Unix time at which the last successful run ended; no series before the first.",
    ),
    _gauge(
        "schedule_last_start_timestamp_seconds",
        "schedule actor tier",
        POSTGRES,
        "Unix time at which the last run started; no series before the first.",
    ),
    _gauge(
        "schedule_last_completion_timestamp_seconds",
        "schedule actor tier",
        POSTGRES,
        "Unix time at which the last run ended, well or not; no series before the first.",
    ),
    _gauge(
        "schedule_next_run_timestamp_seconds",
        "schedule actor tier",
        POSTGRES,
        "Unix time at which the schedule is due next.",
    ),
    _gauge(
        "schedule_created_timestamp_seconds",
        "schedule actor tier",
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
    _gauge(
        "schedule_last_records",
        "schedule actor",
        POSTGRES,
        "Sum of what the last run that ended counted.",
    ),
    _counter("schedule_missed_total", "schedule reason", POSTGRES, "Due ticks that gave no run of their own."),
    _gauge(
        "schedule_info",
        "schedule actor queue cron timezone owner tier",
        POSTGRES,
        "Always 1; what the schedule is, for joins.",
    ),
)

_JOBS = (
    _gauge("dead_letters", "queue actor", POSTGRES, "Messages given up on that wait for a replay or a discard."),
    _gauge("oldest_running_age_seconds", "actor", POSTGRES, "Run time so far of the oldest run; 0 when none runs."),
    _gauge("actor_time_limit_seconds", "actor", POSTGRES, "Time limit of an attempt; no series without one."),
)

_PLATFORM = (
    _gauge("workers", "state", "where workers register", "Worker processes, by the age of their heartbeat."),
    _gauge("workers_expected", "", "settings", "Worker processes that there should be; no series unless it is set."),
    _gauge("broker_clock_skew_seconds", "", BROKER, "The broker's clock less this host's; the round trip is halved."),
    _gauge("slo_objective_ratio", "slo", "settings", "Share of runs that must be good, e.g. 0.99."),
    _gauge("outbox_oldest_age_seconds", "", POSTGRES, "Age of the oldest committed message that was not sent yet."),
    _gauge("breakers", "kind state", POSTGRES, "Circuit breakers by the kind of their target and their state."),
    _gauge(
        "breaker_open_seconds",
        "kind",
        POSTGRES,
        "For how long the circuit breaker has not been closed that has been open for longest; 0 when all are closed.",
    ),
    _gauge("run_table_rows", "table", POSTGRES, "Rows of a table of the ledger, as its statistics estimate them."),
    _gauge("exporter_source_up", "source", "exporter", "1 if the source answered at this scrape."),
    _gauge("exporter_collect_duration_seconds", "source", "exporter", "Time the source took to answer, or to fail."),
)

CATALOGUE: tuple[Metric, ...] = (*_EVENTS, *_QUEUES, *_SCHEDULES, *_JOBS, *_PLATFORM)
