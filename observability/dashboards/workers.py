"""The worker processes: enough of them, busy enough, alive, and of which version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards.links import field, to
from observability.dashboards.page import Page, Row
from observability.dashboards.panels import bad_above, bad_below, dashed, stat_panel, states, time_series
from observability.dashboards.query import series
from observability.dashboards.table import Column, table

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig

_TOTAL, _BUSY = "sum by (instance) (callboard_worker_threads)", "sum by (instance) (callboard_worker_threads_busy)"
_ALIVE = 'max(callboard_workers{state="alive"})'
_EXPECTED = "max(callboard_workers_expected)"


def page(config: ObservabilityConfig) -> Page:
    """The dashboard."""
    return Page(
        "workers",
        "Workers",
        "Are there enough workers, are they busy, do they stay alive, and what do they run.",
        (
            Row("Now", (*_now(), *_now_busy(config))),
            Row("Work", (_threads(), _saturation(config), _held(), _running())),
            Row("Life", (_alive(), _restarts(), _scraped(config), _errors())),
            Row("What they use and run", (_cpu(), _versions())),
        ),
    )


def _now() -> tuple[Panel, ...]:
    return (
        stat_panel(
            "Workers alive",
            "Worker processes with a fresh heartbeat.",
            "as many as you started.",
            series(_ALIVE),
            thresholds=bad_below(1, 1),
            no_value="unknown",
        ),
        stat_panel(
            "Of those expected",
            "Alive ones as a share of `workers_expected`; nothing is shown while that is not set.",
            "100 %.",
            series(f"{_ALIVE} / {_EXPECTED}"),
            unit="percentunit",
            thresholds=bad_below(0.5, 1),
            no_value="not set",
        ),
        stat_panel(
            "Stale",
            "Workers whose heartbeat is overdue and that were not swept yet.",
            "0. Their messages go back to the queue when their lease ends.",
            series('max(callboard_workers{state="stale"})'),
            thresholds=bad_above(amber=1),
        ),
    )


def _now_busy(config: ObservabilityConfig) -> tuple[Panel, ...]:
    ratio = config.saturation_ratio
    return (
        stat_panel(
            "Threads busy",
            "Busy threads of all threads.",
            f"below {ratio:.0%}; above, waiting begins.",
            series(f"sum({_BUSY}) / sum({_TOTAL})"),
            unit="percentunit",
            thresholds=bad_above(ratio - 0.1, ratio),
            no_value="no workers",
        ),
        stat_panel(
            "Replaced in the last hour",
            "Worker processes that were replaced, for whatever reason.",
            "0, or a deploy.",
            series("sum(increase(callboard_worker_restarts_total[1h]))"),
            thresholds=bad_above(1, config.worker_restarts),
            decimals=0,
        ),
        stat_panel(
            "Youngest worker",
            "Age of the worker process that started last.",
            "hours. Minutes, again and again, are a crash loop.",
            series("time() - max(callboard_worker_start_time_seconds)"),
            unit="s",
        ),
    )


def _threads() -> Panel:
    panel = time_series(
        "Threads, and busy ones",
        "By host; dashed, all threads.",
        "the area stays below the dashed line.",
        series(_BUSY, "busy {{instance}}"),
        series(_TOTAL, "threads {{instance}}"),
    )
    return dashed(panel, "^threads .*", "#8e8e99")


def _saturation(config: ObservabilityConfig) -> Panel:
    panel = time_series(
        "Share of threads busy",
        "By host; dashed, where CallboardWorkersSaturated begins while work is ready.",
        "below the dashed line, and alike on all hosts.",
        series(f"{_BUSY} / {_TOTAL}", "{{instance}}"),
        series(f"vector({config.saturation_ratio})", "saturated"),
        unit="percentunit",
    )
    return dashed(panel, "^saturated$")


def _held() -> Panel:
    return time_series(
        "Held, not begun",
        "Messages that a worker process has taken and not begun: backlog that the queue does not show.",
        "a small multiple of the threads.",
        series("sum by (instance) (callboard_worker_prefetched_messages)", "{{instance}}"),
    )


def _running() -> Panel:
    return time_series(
        "Running now, by job",
        "Attempts in progress; the ten jobs with most.",
        "the mix that you know.",
        series("topk(10, sum by (actor) (callboard_in_progress) > 0)", "{{actor}}"),
        stack=True,
        links=[to("job", "The job", actor=field("actor"))],
    )


def _alive() -> Panel:
    panel = time_series(
        "Workers by heartbeat",
        "Alive and stale; dashed, how many are expected.",
        "alive lies on the dashed line, stale at 0.",
        series("max by (state) (callboard_workers)", "{{state}}"),
        series(_EXPECTED, "expected"),
    )
    return dashed(panel, "^expected$")


def _restarts() -> Panel:
    replaced = "sum by (reason) (increase(callboard_worker_restarts_total[$__rate_interval]))"
    return time_series(
        "Worker processes replaced",
        "By the reason why they ended.",
        "nothing between deploys.",
        series(replaced, "{{reason}}"),
        stack=True,
    )


def _scraped(config: ObservabilityConfig) -> Panel:
    return states(
        "Answers to Prometheus",
        "Whether each process of ours answered the scrape.",
        "green from left to right.",
        series(f'up{{job=~"$job",job=~"{config.jobs}"}}', "{{job}} {{instance}}"),
        texts={"0": ("no answer", "red"), "1": ("answers", "green")},
        size=(12, 8),
    )


def _errors() -> Panel:
    return time_series(
        "Calls to the broker that failed",
        "Per second, by operation, as the workers saw it.",
        "nothing. A burst is a restart of the broker, or the network.",
        series("sum by (op) (rate(callboard_broker_errors_total[$__rate_interval]))", "{{op}}"),
        unit="ops",
        stack=True,
        links=[to("platform", "The broker")],
    )


def _cpu() -> Panel:
    return time_series(
        "CPU spent in jobs",
        "Cores that the threads running jobs keep busy, by job; the ten that use most.",
        "below the cores that the workers have.",
        series("topk(10, sum by (actor) (rate(callboard_run_cpu_seconds_total[$__rate_interval])) > 0)", "{{actor}}"),
        stack=True,
        links=[to("job", "The job", actor=field("actor"))],
    )


def _versions() -> Panel:
    labels = ("instance", "version", "revision", "python", "dramatiq")
    keys = {label: Column(label.capitalize(), width=100) for label in labels}
    keys["instance"] = Column("Host")
    info = f"max by ({', '.join(labels)}) (callboard_worker_build_info)"
    up = f"({info}) * on (instance) group_left () (time() - max by (instance) (callboard_worker_start_time_seconds))"
    return table(
        "Versions that run",
        "One row a host.",
        "one version and revision, but for the minutes of a deploy.",
        keys,
        [Column("Up for", up, "s", width=110)],
        size=(12, 8),
        sort="Up for",
    )
