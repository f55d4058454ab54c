"""What it all stands on: the broker, Postgres, the exporter, and the observer's own losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.dashboards.page import Page, Row
from observability.dashboards.panels import (
    bad_above,
    bad_below,
    dashed,
    mapped,
    override_matching,
    stat_panel,
    states,
    time_series,
)
from observability.dashboards.query import series

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Panel

    from observability.rules.config import ObservabilityConfig


def page(config: ObservabilityConfig) -> Page:
    """The dashboard."""
    redis, postgres = f'job=~"$job",job=~"{config.redis_job}"', f'job=~"$job",job=~"{config.postgres_job}"'
    return Page(
        "platform",
        "Broker and exporter",
        "What the jobs stand on: Redis or Valkey, Postgres, the exporter, and what the observer itself has lost. "
        "The servers' rows need Debian's prometheus-redis-exporter and prometheus-postgres-exporter.",
        (
            Row("Now", (*_now(config, redis), *_now_stored(config, postgres))),
            Row(
                "Broker",
                (_memory(redis), _evicted(redis), _commands(redis), _latency(redis), _clients(redis), _skew(config)),
            ),
            Row("Postgres", (_connections(postgres), _transactions(postgres), _rows(), _outbox(config))),
            Row("Outside", (_breakers(), _openings(), _left_alone(config))),
            Row("The observer", (_sources(), _collect(config), _series(config), _dropped(), _notifications())),
        ),
    )


def _now(config: ObservabilityConfig, redis: str) -> tuple[Panel, ...]:
    ratio = config.broker_memory_ratio
    return (
        mapped(
            stat_panel(
                "Sources that answer",
                "The worse of broker and Postgres, as the exporter sees it.",
                "all. Otherwise the state of queues or schedules is unknown.",
                series("min(callboard_exporter_source_up)"),
                thresholds=bad_below(1, 1),
                no_value="no exporter",
            ),
            {"1": ("all", "green"), "0": ("not all", "red")},
        ),
        stat_panel(
            "Broker memory",
            "Used of `maxmemory`; nothing is shown while that is not set.",
            f"below {ratio:.0%}. When it is full, sending fails.",
            series(f"max(redis_memory_used_bytes{{{redis}}} / (redis_memory_max_bytes{{{redis}}} > 0))"),
            unit="percentunit",
            thresholds=bad_above(ratio - 0.1, ratio),
            no_value="no limit",
        ),
        stat_panel(
            "Keys evicted, 1 h",
            "Keys that the broker threw away for want of memory: lost messages.",
            "0, always.",
            series(f"sum(increase(redis_evicted_keys_total{{{redis}}}[1h]))"),
            thresholds=bad_above(red=1),
            decimals=0,
        ),
    )


def _now_stored(config: ObservabilityConfig, postgres: str) -> tuple[Panel, ...]:
    connections = config.postgres_connections_ratio
    return (
        stat_panel(
            "Postgres connections",
            "Used of `max_connections`.",
            f"below {connections:.0%}.",
            series(f"sum(pg_stat_activity_count{{{postgres}}}) / max(pg_settings_max_connections{{{postgres}}})"),
            unit="percentunit",
            thresholds=bad_above(connections - 0.1, connections),
        ),
        stat_panel(
            "Outbox",
            "Age of the oldest committed message that was not sent yet.",
            "a few seconds.",
            series("max(callboard_outbox_oldest_age_seconds)"),
            unit="s",
            thresholds=bad_above(30, config.outbox_age_seconds),
        ),
        stat_panel(
            "Telemetry lost, 1 h",
            "Spans, exemplars and labels that were given up.",
            "0. Jobs do not suffer from it, the picture does.",
            series("sum(increase(callboard_telemetry_dropped_total[1h]))"),
            thresholds=bad_above(amber=1),
            decimals=0,
        ),
    )


def _memory(redis: str) -> Panel:
    panel = time_series(
        "Memory of the broker",
        "Used memory; dashed, `maxmemory` where it is set.",
        "flat, far below the dashed line. It grows with the backlog and shrinks with it.",
        series(f"redis_memory_used_bytes{{{redis}}}", "used {{instance}}"),
        series(f"redis_memory_max_bytes{{{redis}}} > 0", "limit {{instance}}"),
        unit="bytes",
        size=(8, 8),
    )
    return dashed(panel, "^limit.*")


def _evicted(redis: str) -> Panel:
    return time_series(
        "Keys evicted and refused connections",
        "Per second. An evicted key is a lost message: set `maxmemory-policy noeviction`.",
        "0, always.",
        series(f"sum(rate(redis_evicted_keys_total{{{redis}}}[$__rate_interval]))", "evicted"),
        series(f"sum(rate(redis_rejected_connections_total{{{redis}}}[$__rate_interval]))", "refused"),
        unit="ops",
        size=(8, 8),
    )


def _commands(redis: str) -> Panel:
    return time_series(
        "Commands",
        "Commands that the broker carried out, per second.",
        "follows the work. A step up without more work is somebody who polls.",
        series(
            f"sum by (instance) (rate(redis_commands_processed_total{{{redis}}}[$__rate_interval]))", "{{instance}}"
        ),
        unit="ops",
        size=(8, 8),
    )


def _latency(redis: str) -> Panel:
    spent = f"rate(redis_commands_duration_seconds_total{{{redis}}}[$__rate_interval])"
    made = f"rate(redis_commands_total{{{redis}}}[$__rate_interval])"
    return time_series(
        "Time per command",
        "Mean time inside the broker, by command; the ten slowest.",
        "well below a millisecond.",
        series(f"topk(10, sum by (cmd) ({spent}) / (sum by (cmd) ({made}) > 0))", "{{cmd}}"),
        unit="s",
        size=(8, 8),
    )


def _clients(redis: str) -> Panel:
    return time_series(
        "Broker connections",
        "Connected clients, and those that wait in a blocking command.",
        "steady: a few a worker process.",
        series(f"redis_connected_clients{{{redis}}}", "connected {{instance}}"),
        series(f"redis_blocked_clients{{{redis}}}", "blocked {{instance}}"),
        size=(8, 8),
    )


def _skew(config: ObservabilityConfig) -> Panel:
    panel = time_series(
        "Clock difference",
        "The broker's clock less the exporter's, without its sign; dashed, where CallboardClockSkew begins.",
        "below a second.",
        series("max(abs(callboard_broker_clock_skew_seconds))", "difference"),
        series(f"vector({config.clock_skew_seconds})", "too much"),
        unit="s",
        size=(8, 8),
    )
    return dashed(panel, "^too much$")


def _connections(postgres: str) -> Panel:
    panel = time_series(
        "Connections by state",
        "By state; dashed, `max_connections`.",
        "steady. `idle in transaction` that stays is a job that holds locks.",
        series(f"sum by (state) (pg_stat_activity_count{{{postgres}}})", "{{state}}"),
        series(f"max(pg_settings_max_connections{{{postgres}}})", "limit"),
    )
    return dashed(panel, "^limit$")


def _transactions(postgres: str) -> Panel:
    return time_series(
        "Transactions",
        "Committed and rolled back, per second.",
        "follows the work; hardly any rolled back.",
        series(f"sum(rate(pg_stat_database_xact_commit{{{postgres}}}[$__rate_interval]))", "committed"),
        series(f"sum(rate(pg_stat_database_xact_rollback{{{postgres}}}[$__rate_interval]))", "rolled back"),
        unit="ops",
    )


def _rows() -> Panel:
    return time_series(
        "Rows of the ledger",
        "By table, as the statistics of Postgres estimate them.",
        "a saw: it grows for a month and falls when an old partition goes.",
        series("max by (table) (callboard_run_table_rows)", "{{table}}"),
    )


def _outbox(config: ObservabilityConfig) -> Panel:
    panel = time_series(
        "Age of the outbox",
        "Oldest committed message that was not sent yet; dashed, where CallboardOutboxStuck begins.",
        "seconds.",
        series("max(callboard_outbox_oldest_age_seconds)", "oldest"),
        series(f"vector({config.outbox_age_seconds})", "too old"),
        unit="s",
    )
    return dashed(panel, "^too old$")


def _breakers() -> Panel:
    return time_series(
        "Circuit breakers that are not closed",
        "By the kind of their target. What is half open waits for its probe's answer.",
        "none. Each is a target that does not answer.",
        series('sum by (kind, state) (callboard_breakers{state!="closed"}) > 0', "{{kind}} {{state}}"),
        size=(8, 8),
    )


def _openings() -> Panel:
    return time_series(
        "Breakers opened",
        "Per hour, by kind; a probe that fails opens one anew.",
        "none, or a few while somebody outside deploys.",
        series("sum by (kind) (increase(callboard_breaker_openings_total[1h])) > 0", "{{kind}}"),
        size=(8, 8),
    )


def _left_alone(config: ObservabilityConfig) -> Panel:
    panel = time_series(
        "Left alone for",
        "Time since the breaker opened that has been open for longest; dashed, where CallboardBreakerOpen begins.",
        "0, or a minute.",
        series("max by (kind) (callboard_breaker_open_seconds)", "{{kind}}"),
        series(f"vector({config.breaker_open_seconds})", "too long"),
        unit="s",
        size=(8, 8),
    )
    return dashed(panel, "^too long$")


def _sources() -> Panel:
    return states(
        "Sources of the exporter",
        "Whether the source answered at each scrape. One that is down has no series, rather than old ones.",
        "green from left to right.",
        series("min by (source) (callboard_exporter_source_up)", "{{source}}"),
        texts={"0": ("down", "red"), "1": ("up", "green")},
        size=(12, 6),
    )


def _collect(config: ObservabilityConfig) -> Panel:
    return time_series(
        "Time a scrape takes",
        "Time each source took to answer, or to fail.",
        f"below 0.1 s; at {config.exporter_seconds:g} s it is too slow to be scraped.",
        series("max by (source) (callboard_exporter_collect_duration_seconds)", "{{source}}"),
        unit="s",
        size=(12, 6),
    )


def _series(config: ObservabilityConfig) -> Panel:
    panel = time_series(
        "Series per target",
        "Samples of each scrape; dashed, where Prometheus refuses the target.",
        "flat. A climb is a label that takes ever new values.",
        series(f'scrape_samples_post_metric_relabeling{{job=~"$job",job=~"{config.jobs}"}}', "{{job}} {{instance}}"),
        series(f"vector({config.sample_limit})", "limit"),
    )
    return override_matching(
        dashed(panel, "^limit$"),
        "^limit$",
        custom__hideFrom={"viz": True, "legend": False, "tooltip": False},
    )


def _dropped() -> Panel:
    return time_series(
        "Telemetry lost",
        "Spans, exemplars and labels that were given up, by signal and reason.",
        "nothing.",
        series(
            "sum by (signal, reason) (increase(callboard_telemetry_dropped_total[$__rate_interval]))",
            "{{signal}} {{reason}}",
        ),
        stack=True,
    )


def _notifications() -> Panel:
    return time_series(
        "Mails and other notifications",
        "Attempts to tell people how runs ended, by channel; one that fails is tried again for some hours.",
        "`sent` alone. `callboard notifications list --state failed` says what did not go, and why.",
        series(
            "sum by (channel, result) (increase(callboard_notifications_total[$__rate_interval]))",
            "{{channel}} {{result}}",
        ),
        stack=True,
        size=(24, 6),
    )
