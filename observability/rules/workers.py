"""Alerts on worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["alerts"]

_DASHBOARD = "callboard-workers"


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """Those of this topic."""
    query = Query(config)
    alive = query("workers", 'state="alive"')
    yield Alert(
        name="CallboardWorkersMissing",
        severity="warning",
        wait="10m",
        expr=f"max({alive}) < max({query('workers_expected')})",
        summary="Fewer worker processes live than there should be.",
        description="{{ $value }} worker processes live; CALLBOARD_WORKERS_EXPECTED says how many there should be.",
        command="callboard workers --all",
        dashboard=_DASHBOARD,
    )
    yield _saturated(query)
    yield _restarting(query)
    yield Alert(
        name="CallboardWorkerMetricsMissing",
        severity="warning",
        wait="5m",
        expr=tidy(f"""
            max({alive}) > 0
            unless on ()
            count({query.of("up", config.worker_job)} == 1) > 0
        """),
        summary="Workers live, and none of them is scraped.",
        description="{{ $value }} worker processes live, but Prometheus has no metrics of any: rates, durations and "
        "objectives are blind.",
        command=f"callboard observability check --prometheus {config.prometheus_url}",
        dashboard=_DASHBOARD,
    )


def _saturated(query: Query) -> Alert:
    busy, threads = query("worker_threads_busy"), query("worker_threads")
    return Alert(
        name="CallboardWorkersSaturated",
        severity="warning",
        wait="15m",
        expr=tidy(f"""
            sum by (job) ({busy}) / sum by (job) ({threads}) > {query.config.saturation_ratio:g}
            and on ()
            sum(queue:callboard_ready:max) > 0
        """),
        summary="All worker threads are busy, and work waits.",
        description="{{ $value | humanizePercentage }} of the worker threads are busy while messages are ready.",
        command="callboard queues",
        dashboard=_DASHBOARD,
    )


def _restarting(query: Query) -> Alert:
    restarts, started = query("worker_restarts_total", span="30m"), query("worker_start_time_seconds", span="30m")
    return Alert(
        name="CallboardWorkerRestarting",
        severity="warning",
        expr=tidy(f"""
            sum by (job, instance) (increase({restarts})) > {query.config.worker_restarts}
            or
            sum by (job, instance) (changes({started})) > {query.config.worker_restarts}
        """),
        summary="Worker processes start again and again.",
        description='Workers of {{ $labels.instance }} started about {{ $value | printf "%.0f" }} times in the last 30 '
        "minutes: they crash, or run out of memory.",
        command="callboard workers --all",
        dashboard=_DASHBOARD,
    )
