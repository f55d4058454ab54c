"""The first look: is anything wrong, where, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards import palette, queue
from observability.dashboards.budget import budgets
from observability.dashboards.links import outside, row, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, bad_below, coloured, stat_panel, time_series
from observability.dashboards.query import quantile, ratio, series
from observability.dashboards.schedules import age_table
from observability.dashboards.table import Column, table
from observability.dashboards.variables import queues

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_BUSY = "sum(callboard_worker_threads_busy) / sum(callboard_worker_threads)"
_ALIVE = 'max(callboard_workers{state="alive"})'
_BURN = "slo:callboard_error:ratio_rate1h / on (slo) group_left () (1 - max by (slo) (callboard_slo_objective_ratio))"
_ALERTS = 'ALERTS{alertname=~"Callboard.*",alertstate="firing",severity!="none"}'


def page(config: ObservabilityConfig) -> Page:
    """The dashboard."""
    return Page(
        "overview",
        "Overview",
        "Is anything wrong, where, and since when. Every number leads to the dashboard that explains it.",
        (
            Row("Now", _now()),
            Row("What is wrong", (_alerts(config), budgets((9, 8)))),
            Row("Flow", _flow()),
            Row("Jobs that stand out", (_failing(), _slowest(), _busiest())),
            Row("Schedules", (age_table(size=(24, 11)),)),
        ),
        (queues(),),
    )


def _now() -> tuple[Panel, ...]:
    return (*_now_of_work(), *_now_of_platform())


def _now_of_work() -> tuple[Panel, ...]:
    ended = 'sum(rate(callboard_attempts_total{queue=~"$queue",outcome=~"success|retry|failed|expired"}'
    oldest = queue.of_promise("queue")
    return (
        stat_panel(
            "Attempts that succeed",
            "Share of the attempts that ran to an end; skipped and cancelled ones are no attempts.",
            "close to 100 %. What is too low depends on the job: the budgets below know.",
            series(
                ratio(
                    f"{ended.replace('success|retry|failed|expired', 'success')}[$__rate_interval]))",
                    f"{ended}[$__rate_interval]))",
                )
            ),
            unit="percentunit",
            size=(3, 4),
            links=[to("failures", "What fails")],
            no_value="no runs",
        ),
        stat_panel(
            "Ready messages",
            "Messages that could start now and wait for a thread.",
            "any number that comes down again; beside it stands whether it is too old.",
            series('sum(queue:callboard_ready:max{queue=~"$queue"})'),
            size=(3, 4),
            links=[to("queue", "The queues")],
        ),
        stat_panel(
            "Oldest, of promise",
            "Age of the oldest ready message as a share of what its queue promises; the worst queue.",
            "below 80 %. At 100 % the queue is late and CallboardQueueLatencyHigh pages.",
            series(f"max({oldest})"),
            unit="percentunit",
            thresholds=bad_above(0.8, 1),
            size=(3, 4),
            links=[to("queue", "The queues")],
        ),
        stat_panel(
            "Schedules overdue",
            "Enabled schedules whose last success is older than it may be; without one, their creation counts.",
            "0.",
            series(f"count({_overdue()}) or vector(0)"),
            thresholds=bad_above(red=1),
            size=(3, 4),
            links=[to("schedules", "The schedules")],
        ),
    )


def _now_of_platform() -> tuple[Panel, ...]:
    return (
        stat_panel(
            "Dead letters",
            "Messages given up on that wait for a replay or a discard.",
            "0, or a number that somebody is working on. They never expire by themselves.",
            series('sum(max by (queue, actor) (callboard_dead_letters{queue=~"$queue"}))'),
            thresholds=bad_above(amber=1),
            size=(3, 4),
            links=[to("failures", "The dead letters")],
        ),
        stat_panel(
            "Threads busy",
            "Busy threads of all threads of the worker processes.",
            "below 90 %; above, waiting begins.",
            series(_BUSY),
            unit="percentunit",
            thresholds=bad_above(0.8, 0.9),
            size=(3, 4),
            links=[to("workers", "The workers")],
            no_value="no workers",
        ),
        stat_panel(
            "Workers, of expected",
            "Worker processes with a fresh heartbeat, of `workers_expected`; if that is not set, all while one lives.",
            "100 %.",
            series(f"{_ALIVE} / (max(callboard_workers_expected) or {_ALIVE} > 0 or vector(1))"),
            unit="percentunit",
            thresholds=bad_below(0.5, 1),
            size=(3, 4),
            links=[to("workers", "The workers")],
            no_value="unknown",
        ),
        stat_panel(
            "Fastest burn",
            "How many times faster than allowed the error budget of the worst objective is used up, over an hour.",
            "below 1. From 14.4 on, a month's budget is gone in two days.",
            series(f"max({_BURN})"),
            unit="suffix:x",
            thresholds=bad_above(1, 14.4),
            size=(3, 4),
            links=[to("slo", "The objectives")],
            decimals=1,
        ),
    )


def _overdue() -> str:
    allowed = "max by (schedule) (callboard_schedule_max_age_seconds)"
    enabled = "max by (schedule) (callboard_schedule_enabled) == 1"
    age = "max by (schedule) (schedule:callboard_last_success_age_seconds)"
    return f"({age} > on (schedule) {allowed}) and on (schedule) ({enabled})"


def _alerts(config: ObservabilityConfig) -> Panel:
    runbook = outside("Runbook", f"{config.runbook_url}/{row('Alert')}.md")
    name = Column("Alert", links=(runbook,), width=240)
    keys = {
        "alertname": name,
        "severity": Column(
            "Severity", words=(("critical", "critical", "red"), ("warning", "warning", "orange")), width=90
        ),
        "queue": Column("Queue", links=(to("queue", "Queue", queue=row("Queue")),), width=100),
        "schedule": Column("Schedule", links=(to("schedules", "Schedule", schedule=row("Schedule")),), width=150),
        "actor": Column("Job", links=(to("job", "Job", actor=row("Job")),), width=140),
        "slo": Column("Objective", links=(to("slo", "Objective", slo=row("Objective")),), width=130),
    }
    since = Column(
        "Firing for",
        f"max by ({', '.join(keys)}) (time() - ALERTS_FOR_STATE) and on ({', '.join(keys)}) {_ALERTS}",
        unit="s",
        width=100,
    )
    return table(
        "Firing alerts",
        "Alerts that fire now. A click on the name opens the runbook.",
        "an empty table.",
        keys,
        [since],
        size=(15, 8),
        sort="Firing for",
    )


def _flow() -> tuple[Panel, ...]:
    waits = "callboard_queue_wait_seconds"
    at = 'queue=~"$queue"'
    return (
        coloured(
            time_series(
                "Attempts by outcome",
                "Attempts that ended per second. Each has exactly one outcome.",
                "green; some orange where a dependency is shaky; no red.",
                series(
                    f"sum by (outcome) (rate(callboard_attempts_total{{{at}}}[$__rate_interval])) > 0", "{{outcome}}"
                ),
                unit="ops",
                stack=True,
                links=[to("failures", "What fails")],
            ),
            palette.OUTCOMES,
        ),
        coloured(
            time_series(
                "Arriving and finished",
                "Messages enqueued and runs ended for good, per second.",
                "the two lines lie on one another. A gap that stays is a backlog that grows.",
                series(f'sum(rate(callboard_enqueued_total{{{at},source!="retry"}}[$__rate_interval]))', "arriving"),
                series(f"sum(rate(callboard_finished_total{{{at}}}[$__rate_interval]))", "finished"),
                unit="ops",
                links=[to("queue", "The queues")],
            ),
            palette.FLOW,
        ),
        coloured(
            time_series(
                "Waiting time",
                "From the moment a message may start to its start, by percentile. A point is one run: its trace.",
                "p95 well below the promises of the queues.",
                *(
                    series(quantile(share, waits, where=at), name, exemplars=True)
                    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
                ),
                unit="s",
                links=[to("queue", "The queues")],
            ),
            palette.PERCENTILES,
        ),
        queue.backlog(),
    )


def _top(title: str, shows: str, good: str, expr: str, column: Column) -> Panel:
    keys = {"actor": Column("Job", links=(to("job", "The job", actor=row("Job")),))}
    shown = Column(column.name, expr, column.unit, decimals=column.decimals, width=120)
    return table(title, shows, good, keys, [shown], size=(8, 8), sort=column.name)


def _failing() -> Panel:
    failed = '{queue=~"$queue",outcome=~"failed|retry"}'
    return _top(
        "Most failures",
        "Attempts that failed or will be retried, in the time range.",
        "an empty table, or numbers that are small beside the runs.",
        f"topk(10, round(sum by (actor) (increase(callboard_attempts_total{failed}[$__range]))) > 0)",
        Column("Failed", unit="locale", decimals=0),
    )


def _slowest() -> Panel:
    return _top(
        "Slowest",
        "95th percentile of the run time over the last hour.",
        "the jobs that you expect, as slow as you know them.",
        "topk(10, max by (actor) (actor:callboard_run_duration_seconds:p95_1h))",
        Column("p95", unit="s"),
    )


def _busiest() -> Panel:
    return _top(
        "Busiest",
        "Threads kept busy on average in the time range.",
        "no job takes so many threads that others starve.",
        'topk(10, sum by (actor) (rate(callboard_run_duration_seconds_sum{queue=~"$queue"}[$__rate_interval])))',
        Column("Threads", decimals=2),
    )
