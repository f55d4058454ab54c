"""Alerts on what the jobs stand on, and on the observer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules.alert import Alert
from observability.rules.promql import Query, tidy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from observability.rules.config import ObservabilityConfig

__all__ = ["alerts"]

_DASHBOARD = "callboard-platform"


def alerts(config: ObservabilityConfig) -> Iterator[Alert]:
    """Those of this topic."""
    query = Query(config)
    check = f"callboard observability check --prometheus {config.prometheus_url}"
    yield from _exporter(query)
    yield from _servers(query)
    yield _breaker(query)
    yield from _cardinality(query, check)
    yield from _telemetry(query, check)
    yield Alert(
        name="CallboardWatchdog",
        severity="none",
        expr="vector(1)",
        summary="Always fires: its absence, seen from outside, is the alarm.",
        description="This alert shows that Prometheus evaluates rules and Alertmanager delivers. Whatever receives it "
        "has to call out when it stays away.",
        command=check,
        dashboard="callboard-overview",
    )


def _exporter(query: Query) -> Iterator[Alert]:
    config = query.config
    yield Alert(
        name="CallboardExporterDown",
        severity="critical",
        wait="3m",
        expr=f"absent({query.of('up', config.exporter_job)} == 1)",
        summary="No exporter is scraped: queues and schedules cannot be seen.",
        description="Prometheus reaches no exporter. Alerts on queues, schedules and dead letters cannot fire, and "
        "those that did are held back while this one fires.",
        command="callboard exporter",
        dashboard=_DASHBOARD,
    )
    yield Alert(
        name="CallboardExporterSourceDown",
        severity="critical",
        wait="1m",
        keep="1m",  # what it inhibits gets over it a little later
        expr=f"max by (source) ({query('exporter_source_up')}) == 0",
        summary="The exporter cannot read a server that the jobs stand on.",
        description="No exporter can read the {{ $labels.source }}. Most likely workers and scheduler cannot, either.",
        command="callboard check",
        dashboard=_DASHBOARD,
    )
    duration = query("exporter_collect_duration_seconds")
    yield Alert(
        name="CallboardExporterSlow",
        severity="warning",
        wait="15m",
        expr=f"min by (source) ({duration}) > {config.exporter_seconds:g}",
        summary="The exporter takes long to read a source.",
        description="Reading the {{ $labels.source }} takes {{ $value | humanizeDuration }}; beyond the scrape's "
        "timeout, all its series are lost.",
        command="callboard check",
        dashboard=_DASHBOARD,
    )


def _servers(query: Query) -> Iterator[Alert]:
    config = query.config
    used = query.of("redis_memory_used_bytes", config.redis_job)
    most = query.of("redis_memory_max_bytes", config.redis_job)
    yield Alert(
        name="CallboardBrokerMemoryHigh",
        severity="warning",
        wait="10m",
        expr=f"{used} / ({most} > 0) > {config.broker_memory_ratio:g}",
        summary="The broker's memory is nearly full.",
        description="{{ $value | humanizePercentage }} of the broker's memory is used; at 100 % it refuses messages.",
        command="callboard queues",
        dashboard=_DASHBOARD,
    )
    evicted = query.of("redis_evicted_keys_total", config.redis_job, span="10m")
    yield Alert(
        name="CallboardBrokerEvicting",
        severity="critical",
        expr=f"increase({evicted}) > 0",
        summary="The broker evicts keys: messages are being lost.",
        description='{{ $labels.instance }} evicted about {{ $value | printf "%.0f" }} keys in the last ten minutes. '
        "Its maxmemory-policy must be noeviction.",
        command="callboard check",
        dashboard=_DASHBOARD,
    )
    errors = query("broker_errors_total", span="5m")
    yield Alert(
        name="CallboardBrokerErrors",
        severity="warning",
        wait="10m",
        expr=f"sum by (op) (rate({errors})) > {config.broker_errors_per_second:g}",
        summary="Calls to the broker fail.",
        description='{{ $value | printf "%.2f" }} calls of {{ $labels.op }} to the broker fail each second.',
        command="callboard check",
        dashboard=_DASHBOARD,
    )
    yield _connections(query)
    skew = query("broker_clock_skew_seconds")
    yield Alert(
        name="CallboardClockSkew",
        severity="warning",
        wait="5m",
        expr=f"max(abs({skew})) > {config.clock_skew_seconds:g}",
        summary="The clocks of broker and exporter differ.",
        description="The clocks differ by {{ $value | humanizeDuration }}: ages, waits and due times are wrong by as "
        "much, and delayed messages start early or late.",
        command="callboard check",
        dashboard=_DASHBOARD,
    )


def _breaker(query: Query) -> Alert:
    return Alert(
        name="CallboardBreakerOpen",
        severity="warning",
        wait="1m",
        expr=f"max by (kind) ({query('breaker_open_seconds')}) > {query.config.breaker_open_seconds:g}",
        summary="Something outside has not answered for long, and is left alone.",
        description="A circuit breaker of kind {{ $labels.kind }} has not closed for {{ $value | humanizeDuration }}: "
        "every probe failed, or nobody has tried. What is meant for it waits or has been given up on.",
        command="callboard breakers",
        dashboard=_DASHBOARD,
    )


def _connections(query: Query) -> Alert:
    config = query.config
    count = query.of("pg_stat_activity_count", config.postgres_job)
    most = query.of("pg_settings_max_connections", config.postgres_job)
    return Alert(
        name="CallboardPostgresConnectionsHigh",
        severity="warning",
        wait="10m",
        expr=tidy(f"""
            sum by (job, instance) ({count})
            / on (job, instance)
            max by (job, instance) ({most})
            > {config.postgres_connections_ratio:g}
        """),
        summary="Postgres has few connections left.",
        description="{{ $value | humanizePercentage }} of the connections of {{ $labels.instance }} are taken.",
        command="callboard workers",
        dashboard=_DASHBOARD,
    )


def _cardinality(query: Query, check: str) -> Iterator[Alert]:
    config = query.config
    samples = query.of("scrape_samples_post_metric_relabeling", config.jobs)
    yield Alert(
        name="CallboardCardinalityHigh",
        severity="warning",
        wait="15m",
        expr=f"{samples} > {round(config.cardinality_ratio * config.sample_limit)}",
        summary="A target has nearly as many series as may be scraped.",
        description=f"{{{{ $labels.instance }}}} has {{{{ $value }}}} series; beyond {config.sample_limit}, Prometheus "
        "refuses all of them.",
        command=check,
        dashboard=_DASHBOARD,
    )
    folded = query("attempts_total", 'actor="_other"')
    letters = query("dead_letters", 'actor="_other"')
    yield Alert(
        name="CallboardLabelBudgetSpent",
        severity="warning",
        wait="5m",
        expr=f"count by (job) ({folded} or {letters}) > 0",
        summary="There are more jobs than get series of their own.",
        description="Jobs beyond CALLBOARD_METRICS_MOST_ACTORS are counted together as _other by {{ $labels.job }}: "
        "their failures cannot be told apart.",
        command="callboard jobs",
        dashboard=_DASHBOARD,
    )


def _telemetry(query: Query, check: str) -> Iterator[Alert]:
    config = query.config
    dropped = query.of("callboard_telemetry_dropped_total", config.jobs, span="5m")
    yield Alert(
        name="CallboardTelemetryDropped",
        severity="warning",
        wait="15m",
        expr=f"sum by (signal) (rate({dropped})) > 0",
        summary="Telemetry is being lost.",
        description="{{ $labels.signal }}: about {{ $value | humanize }} a second are given up. The jobs are not "
        "touched by it.",
        command=check,
        dashboard=_DASHBOARD,
    )
    yield Alert(
        name="CallboardTargetDown",
        severity="warning",
        wait="10m",
        expr=f"{query.of('up', config.jobs)} == 0",
        summary="A target of ours cannot be scraped.",
        description="Prometheus has not reached {{ $labels.instance }} of {{ $labels.job }} for ten minutes.",
        command=check,
        dashboard=_DASHBOARD,
    )
    failures = query.of(
        "prometheus_rule_evaluation_failures_total", config.prometheus_job, 'rule_group=~".*;callboard.*"', span="10m"
    )
    yield Alert(
        name="CallboardRulesFailing",
        severity="warning",
        wait="5m",
        expr=f"sum by (rule_group) (increase({failures})) > 0",
        summary="Rules of ours cannot be evaluated.",
        description="Prometheus fails to evaluate rules of {{ $labels.rule_group }}: their alerts cannot fire.",
        command=check,
        dashboard=_DASHBOARD,
    )
    lost = query.of("alertmanager_notifications_failed_total", config.alertmanager_job, span="5m")
    yield Alert(
        name="CallboardNotificationsFailing",
        severity="critical",
        wait="5m",
        expr=f"sum by (integration) (rate({lost})) > 0",
        summary="Alertmanager cannot deliver notifications.",
        description="Notifications by {{ $labels.integration }} fail: people are not told what is wrong.",
        command="callboard workers",
        dashboard=_DASHBOARD,
    )
