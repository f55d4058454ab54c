"""From the night of _night.py to the value of each series."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.observability._world import (
    DEPLOY,
    ERRORS,
    EVERY_JOB,
    HOSTS,
    MENDED,
    POSTGRES_AWAY,
    QUEUES,
    SCHEDULER_AWAY,
    SCHEDULES,
    SLOS,
    START,
    THREADS,
    WORKER_BACK,
    WORKER_DIES,
    Job,
    Schedule,
    broken,
    hosts,
    wobble,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from observability.catalogue import Metric
    from tests.observability._night import Night

    Value = float | tuple[float, float] | None

_JOB = {job.name: job for job in EVERY_JOB}
_SCHEDULE = {schedule.name: schedule for schedule in SCHEDULES}
_WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}

OF_SCHEDULE: dict[str, Callable[[Schedule], str]] = {
    "actor": lambda schedule: schedule.name,
    "queue": lambda schedule: schedule.queue,
    "cron": lambda schedule: schedule.cron,
    "timezone": lambda _: "UTC",
    "owner": lambda schedule: schedule.owner,
    "tier": lambda schedule: schedule.tier,
}


def possible(labels: Mapping[str, str], queue_of: Mapping[str, str]) -> bool:
    """Whether such a series can be: a job is in one queue, a schedule has one job, a version one revision."""
    schedule = _SCHEDULE.get(labels.get("schedule", ""))
    if schedule:
        return all(told(schedule) == labels[name] for name, told in OF_SCHEDULE.items() if name in labels)
    if "queue" in labels and "actor" in labels:
        return queue_of[labels["actor"]] == labels["queue"]
    return labels.get("revision", "9f2c1d0") == ("b81e77a" if labels.get("version") == "1.4.3" else "9f2c1d0")


def value(metric: Metric, labels: Mapping[str, str], night: Night) -> Value:
    """The sample of this series at this moment; None: there is none. Of a histogram, its count and middle."""
    name = metric.name.removeprefix("callboard_")
    if metric.source.startswith("postgres") and POSTGRES_AWAY[0] <= night.at < POSTGRES_AWAY[1]:
        return None
    if metric.process == "scheduler" and SCHEDULER_AWAY[0] <= night.at < SCHEDULER_AWAY[1]:
        return None
    if name in SHAPES:
        return SHAPES[name](labels, night)
    if name.startswith("schedule_"):
        return _of_schedule(name, _SCHEDULE[labels["schedule"]], labels, night)
    return (night.at - START) / 60 if metric.kind != "gauge" else 1.0


def _of_schedule(name: str, schedule: Schedule, labels: Mapping[str, str], night: Night) -> float | None:
    last = _last_run(schedule, night.at)
    success = _last_success(schedule, night.at)
    never = schedule.never
    return {
        "schedule_last_success_timestamp_seconds": None if never else success,
        "schedule_last_start_timestamp_seconds": None if never else last,
        "schedule_last_completion_timestamp_seconds": None if never else last + schedule.seconds,
        "schedule_next_run_timestamp_seconds": last + schedule.every * (1 if schedule.enabled else 5),
        "schedule_created_timestamp_seconds": START - 15.0 * 86400,
        "schedule_last_duration_seconds": schedule.seconds * wobble(last, 5),
        "schedule_max_age_seconds": 2 * schedule.every + schedule.seconds,
        "schedule_interval_seconds": schedule.every,
        "schedule_enabled": float(schedule.enabled),
        "schedule_consecutive_failures": _failures(schedule, night.at),
        "schedule_last_records": 1000 * wobble(last, 7) if last + schedule.seconds == success else 0.0,
        "schedule_missed_total": _missed(schedule, labels.get("reason", ""), night.at),
    }.get(name, 1.0)


def _last_run(schedule: Schedule, at: float) -> float:
    if not schedule.enabled:
        return START + 3600.0
    asked = min(at, SCHEDULER_AWAY[0]) if SCHEDULER_AWAY[0] <= at < SCHEDULER_AWAY[1] else at
    return math.floor((asked - schedule.seconds) / schedule.every) * schedule.every


def _last_success(schedule: Schedule, at: float) -> float:
    return _last_run(schedule, min(at, ERRORS) if schedule.breaks else at) + schedule.seconds


def _failures(schedule: Schedule, at: float) -> float:
    return (
        max(0.0, (_last_run(schedule, at) - ERRORS) // schedule.every + 1) if schedule.breaks and at > ERRORS else 0.0
    )


def _missed(schedule: Schedule, reason: str, at: float) -> float:
    if reason == "scheduler_down":
        return max(0.0, (min(at, SCHEDULER_AWAY[1]) - SCHEDULER_AWAY[0]) // schedule.every)
    if reason == "overlap" and schedule.name == "session_expiry_job":
        return max(0.0, (min(at, MENDED) - WORKER_DIES) // 900)
    return 0.0


def _counted(*key: str, labels: tuple[str, ...]) -> Callable[[Mapping[str, str], Night], Value]:
    return lambda given, night: night.counts.get((*key, *(given[name] for name in labels)), 0.0)


def _depth(labels: Mapping[str, str], night: Night) -> float:
    queue, state = labels["queue"], labels["state"]
    jobs = [job for job in EVERY_JOB if job.queue == queue]
    if state == "dead":
        return math.floor(sum(night.dead[job.name] for job in jobs))
    pace = sum(night.rates[job.name] * job.seconds for job in jobs)
    retried = sum(night.counts["attempts", job.name, "retry"] for job in jobs)
    orphans = 6.0 if WORKER_DIES <= night.at < WORKER_DIES + 180 else 0.0
    delayed = sum(night.rates[job.name] * broken(job, night.at) * 30 for job in jobs) if retried else 0.0
    return {"ready": round(night.ready[queue]), "claimed": math.ceil(pace), "delayed": round(delayed)}.get(
        state, orphans
    )


def _ran(labels: Mapping[str, str], night: Night) -> Value:
    job = _JOB[labels["actor"]]
    slower = 3.5 if job.fragile and ERRORS <= night.at < MENDED else 1.0
    return night.counts["ran", job.name], job.seconds * slower * wobble(night.at, 9) * 0.8


def _queued(labels: Mapping[str, str], night: Night) -> float:
    return sum(night.counts["ran", job.name] for job in EVERY_JOB if job.queue == labels["queue"])


def _whole(labels: Mapping[str, str], night: Night) -> Value:
    jobs = [job for job in EVERY_JOB if job.queue == labels["queue"]]
    ran = sum(job.seconds * job.rate for job in jobs) / sum(job.rate for job in jobs)
    return _queued(labels, night), night.wait[labels["queue"]] + ran


def _alive_share(_: Mapping[str, str], night: Night) -> float:
    return night.busy / len(hosts(night.at))


def _running(labels: Mapping[str, str], night: Night) -> float:
    job = _JOB[labels["actor"]]
    return round(night.rates[job.name] * job.seconds / len(hosts(night.at)))


def _oldest(labels: Mapping[str, str], night: Night) -> float:
    job = _JOB[labels["actor"]]
    if job.name == "transcript.index" and night.at > WORKER_DIES:
        return min(night.at - WORKER_DIES, 1080.0)
    return job.seconds * 2 * wobble(night.at, 11) if job.rate > 0.1 else (night.at % (1 / job.rate)) % job.seconds


def _errors(labels: Mapping[str, str], night: Night) -> float:
    kinds = {"ConnectionError": 0.8, "TimeoutError": 0.15, "ValueError": 0.05}
    lost = night.counts["attempts", labels["actor"], "retry"] + night.counts["attempts", labels["actor"], "failed"]
    return lost * kinds.get(labels["error_type"], 0.0)


def _records(labels: Mapping[str, str], night: Night) -> float:
    return (
        night.counts["finished", labels["actor"], "success"]
        * {"read": 20, "written": 18, "rejected": 0.3}[labels["kind"]]
    )


def _build(labels: Mapping[str, str], night: Night) -> Value:
    return 1.0 if (labels["version"] == "1.4.3") == (night.at >= DEPLOY) else None


def _started(_: Mapping[str, str], night: Night) -> float:
    known = (START - 90000, DEPLOY, WORKER_DIES - 600, WORKER_BACK)
    return float(max(moment for moment in known if moment <= night.at))


def _crashes(labels: Mapping[str, str], night: Night) -> float:
    return (
        max(0.0, (min(night.at, WORKER_DIES + 300) - WORKER_DIES + 600) // 150) if labels["reason"] == "memory" else 0.0
    )


def _broker_errors(labels: Mapping[str, str], night: Night) -> float:
    return (
        max(0.0, min(night.at, WORKER_DIES + 120) - WORKER_DIES)
        / 4
        * {"fetch": 1.0, "ack": 0.4, "enqueue": 0.1}[labels["op"]]
    )


def _dead_age(labels: Mapping[str, str], night: Night) -> float:
    return max(0.0, night.at - ERRORS) if _depth({**labels, "state": "dead"}, night) else 0.0


SHAPES: dict[str, Callable[[Mapping[str, str], Night], Value]] = {
    "enqueued_total": _counted("enqueued", labels=("actor", "source")),
    "attempts_total": _counted("attempts", labels=("actor", "outcome")),
    "finished_total": _counted("finished", labels=("actor", "result")),
    "redeliveries_total": _counted("redelivered", labels=("actor",)),
    "slo_events_total": _counted("slo", labels=("slo", "result")),
    "errors_total": _errors,
    "run_duration_seconds": _ran,
    "queue_wait_seconds": lambda labels, night: (_queued(labels, night), night.wait[labels["queue"]]),
    "end_to_end_seconds": _whole,
    "in_progress": _running,
    "worker_threads": lambda _, __: float(THREADS),
    "worker_threads_busy": _alive_share,
    "worker_prefetched_messages": lambda _, night: round(min(32.0, 4 + sum(night.ready.values()) / 20)),
    "run_cpu_seconds_total": lambda labels, night: _cpu(_JOB[labels["actor"]], night),
    "records_processed_total": _records,
    "last_progress_timestamp_seconds": lambda labels, night: night.at - _oldest(labels, night) * 0.4,
    "broker_errors_total": _broker_errors,
    "worker_start_time_seconds": _started,
    "worker_restarts_total": _crashes,
    "worker_build_info": _build,
    "telemetry_dropped_total": lambda _, night: max(0.0, night.at - WORKER_DIES) / 90,
    "scheduler_last_tick_timestamp_seconds": lambda _, night: night.at - 1,
    "scheduler_tick_lag_seconds": lambda _, night: ((night.at - START) / 20, 0.2),
    "queue_depth": _depth,
    "queue_oldest_ready_age_seconds": lambda labels, night: night.age[labels["queue"]],
    "queue_consumers": lambda _, night: float(len(hosts(night.at)) * 2),
    "queue_paused": lambda _, __: 0.0,
    "queue_max_age_seconds": lambda labels, _: QUEUES[labels["queue"]],
    "queue_oldest_delayed_overdue_seconds": lambda _, night: 45.0 if 0 <= night.at - SCHEDULER_AWAY[0] < 300 else 0.0,
    "queue_dead_oldest_age_seconds": _dead_age,
    "queue_longest_time_limit_seconds": lambda labels, _: max(
        job.limit for job in EVERY_JOB if job.queue == labels["queue"]
    ),
    "canary_last_success_timestamp_seconds": lambda labels, night: night.at - 20 - night.age[labels["queue"]],
    "dead_letters": lambda labels, night: math.floor(night.dead[labels["actor"]]),
    "oldest_running_age_seconds": _oldest,
    "actor_time_limit_seconds": lambda labels, _: _JOB[labels["actor"]].limit,
    "workers": lambda labels, night: _workers(labels["state"], night),
    "workers_expected": lambda _, __: 8.0,
    "broker_clock_skew_seconds": lambda _, night: 0.02 * wobble(night.at, 13),
    "slo_objective_ratio": lambda labels, _: SLOS[labels["slo"]][0],
    "outbox_oldest_age_seconds": lambda _, night: 1.5 * wobble(night.at, 17) if night.at < WORKER_DIES else 9.0,
    "breakers": lambda labels, night: float((labels["state"] == "open") == _in(POSTGRES_AWAY, night.at)),
    "breaker_open_seconds": lambda _, night: 40.0 if _in(POSTGRES_AWAY, night.at) else 0.0,
    "breaker_openings_total": lambda _, night: max(0.0, night.at - WORKER_DIES) / 300,
    "run_table_rows": lambda labels, night: (
        {"runs": 4e6, "failures": 6e4}.get(labels["table"], 900.0) + (night.at - START) * 5
    ),
    "exporter_source_up": lambda labels, night: float(labels["source"] == "broker" or not _in(POSTGRES_AWAY, night.at)),
    "exporter_collect_duration_seconds": lambda _, night: 0.03 * wobble(night.at, 19),
}


def _in(span: tuple[int, int], at: float) -> bool:
    return span[0] <= at < span[1]


def _cpu(job: Job, night: Night) -> float:
    return night.counts["ran", job.name] * job.seconds * job.cpu


def _workers(state: str, night: Night) -> float:
    if state == "alive":
        return 4.0 * len(hosts(night.at))
    return 4.0 if 0 <= night.at - WORKER_DIES < 180 else 0.0


def beside_the_catalogue(night: Night) -> Iterator[tuple[str, float]]:
    """What Prometheus writes itself, recording rules and alerts, and the exporters of the servers."""
    yield from _recorded(night)
    yield from _alerts(night)
    yield from _scrapes(night)
    yield from _servers(night)


def _recorded(night: Night) -> Iterator[tuple[str, float]]:
    for queue in QUEUES:
        pace = sum(night.rates[job.name] for job in EVERY_JOB if job.queue == queue)
        yield f'queue:callboard_ready:max{{queue="{queue}"}}', round(night.ready[queue])
        yield f'queue:callboard_drain_eta_seconds{{queue="{queue}"}}', night.ready[queue] / pace
    for job in EVERY_JOB:
        slower = 3.0 if job.fragile and night.at > ERRORS + 600 else 1.0
        yield (
            f'actor:callboard_run_duration_seconds:p95_1h{{actor="{job.name}"}}',
            job.seconds * 2.5 * slower * wobble(night.at, 23),
        )
    for schedule in SCHEDULES:
        since = START - 15.0 * 86400 if schedule.never else _last_success(schedule, night.at)
        labels = f'schedule="{schedule.name}",actor="{schedule.name}",tier="{schedule.tier}"'
        yield f"schedule:callboard_last_success_age_seconds{{{labels}}}", night.at - since
    for slo in SLOS:
        for window, seconds in _WINDOWS.items():
            yield f'slo:callboard_error:ratio_rate{window}{{slo="{slo}"}}', night.error_ratio(slo, seconds)


def _alerts(night: Night) -> Iterator[tuple[str, float]]:
    late = [queue for queue, promise in QUEUES.items() if night.age[queue] > promise]
    firing = [("CallboardWatchdog", "none", "", "", START)]
    firing += [("CallboardQueueLatencyHigh", "critical", "queue", queue, WORKER_DIES + 420) for queue in late]
    if night.at > WORKER_DIES + 600:
        firing += [("CallboardWorkersMissing", "warning", "", "", WORKER_DIES)]
    if night.at > ERRORS + 900:
        firing += [
            ("CallboardErrorBudgetBurnFast", "critical", "slo", "webhook.deliver", ERRORS + 300),
            ("CallboardFailureRatioHigh", "warning", "actor", "webhook.deliver", ERRORS + 600),
            ("CallboardScheduleFailing", "warning", "schedule", "revenue_sync_job", ERRORS + 900),
        ]
    for name, severity, label, named, since in firing:
        own = f',{label}="{named}"' if label else ""
        yield f'ALERTS{{alertname="{name}",alertstate="firing",severity="{severity}"{own}}}', 1
        yield f'ALERTS_FOR_STATE{{alertname="{name}",severity="{severity}"{own}}}', since


def _scrapes(night: Night) -> Iterator[tuple[str, float]]:
    down = _in(SCHEDULER_AWAY, night.at)
    targets = [("callboard-worker", host, host in hosts(night.at), 900) for host in HOSTS]
    targets += [
        ("callboard-scheduler", "scheduler:9193", not down, 60),
        ("callboard-exporter", "exporter:9191", True, 700),
    ]
    targets += [("callboard-redis", "redis:9121", True, 300), ("callboard-postgres", "postgres:9187", True, 400)]
    for job, instance, up, samples in targets:
        yield f'up{{job="{job}",instance="{instance}"}}', float(up)
        yield f'scrape_samples_post_metric_relabeling{{job="{job}",instance="{instance}"}}', samples * up


def _servers(night: Night) -> Iterator[tuple[str, float]]:
    passed, backlog = night.at - START, sum(night.ready.values())
    redis = 'job="callboard-redis",instance="redis:9121"'
    yield f"redis_memory_used_bytes{{{redis}}}", 4e7 + backlog * 4000
    yield f"redis_memory_max_bytes{{{redis}}}", 2.5e8
    yield f"redis_connected_clients{{{redis}}}", 20 + 12 * len(hosts(night.at))
    yield f"redis_blocked_clients{{{redis}}}", 4 * len(hosts(night.at))
    for name in ("evicted_keys_total", "rejected_connections_total"):
        yield f"redis_{name}{{{redis}}}", 0
    yield f"redis_commands_processed_total{{{redis}}}", passed * 240
    for place, command in enumerate(("evalsha", "get", "bzpopmin"), 1):
        yield f'redis_commands_total{{{redis},cmd="{command}"}}', passed * 60 / place
        yield f'redis_commands_duration_seconds_total{{{redis},cmd="{command}"}}', passed * 0.004 / place**2
    postgres = 'job="callboard-postgres",instance="postgres:9187"'
    for state, number in (("active", 6), ("idle", 22), ("idle in transaction", 1)):
        yield (
            f'pg_stat_activity_count{{{postgres},datname="callboard",state="{state}"}}',
            round(number * wobble(night.at, number)),
        )
    yield f"pg_settings_max_connections{{{postgres}}}", 100
    yield f'pg_stat_database_xact_commit{{{postgres},datname="callboard"}}', passed * 40
    yield f'pg_stat_database_xact_rollback{{{postgres},datname="callboard"}}', passed * 0.4


def a_week_ago() -> Iterator[tuple[str, float]]:
    """Series that are compared with last week's, and their value then."""
    for job in EVERY_JOB:
        yield f'actor:callboard_run_duration_seconds:p95_1h{{actor="{job.name}"}}', job.seconds * 2.4
