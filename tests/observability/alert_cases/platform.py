from __future__ import annotations

from tests.observability.alert_cases.case import CONFIG, Case, Series, Table, flat, foreign, gap, rising, series

TABLE = Table()
story, spares, fires = TABLE.story, TABLE.spares, TABLE.fires

TABLE.cases.append(Case("CallboardWatchdog", "story", [], {0: [{}], 5: [{}], 60: [{}]}, severity="none"))

# Workers

ALIVE = 'state="alive"'


def up(job: str, *values: str, instance: str = "a:1") -> Series:
    return foreign("up", job, "", *values, instance=instance)


story(
    "WorkersMissing", "warning",
    [series("workers", ALIVE, flat(4, 20), flat(3, 20), flat(4, 20)), series("workers_expected", "", flat(4, 60))],
    quiet=19, firing=35, resolved=45,
)  # fmt: skip
spares("WorkersMissing", "nobody said how many, a rolling restart",
       [series("workers", ALIVE, flat(4, 20), flat(0, 20))], 15, 39)  # fmt: skip
spares("WorkersMissing", "a restart", [series("workers", ALIVE, flat(4, 20), flat(0, 8), flat(4, 20)),
       series("workers_expected", "", flat(4, 60))], 25, 35)  # fmt: skip

BUSY, THREADS = "worker_threads_busy", "worker_threads"
READY = 'queue="mail", state="ready"'
story(
    "WorkersSaturated", "warning",
    [series(BUSY, "", flat(2, 20), flat(8, 30), flat(2, 20)), series(THREADS, "", flat(8, 70)),
     series("queue_depth", READY, flat(50, 70))],
    quiet=19, firing=45, resolved=55, job=CONFIG.worker_job,
)  # fmt: skip
spares("WorkersSaturated", "all busy, and nothing waits", [series(BUSY, "", flat(8, 60)), series(THREADS, "",
       flat(8, 60)), series("queue_depth", READY, flat(0, 60))], 30, 50)  # fmt: skip

story(
    "WorkerRestarting", "warning", [series("worker_restarts_total", 'reason="died"', flat(0, 20), rising(1, 1, 8),
                                           flat(8, 60))],
    quiet=19, firing=28, resolved=70, job=CONFIG.worker_job, instance="a:1",
)  # fmt: skip
fires("WorkerRestarting", "warning", "the supervisor itself", [series("worker_start_time_seconds", "",
      rising(0, 60, 10), flat(600, 5))], 12, job=CONFIG.worker_job, instance="a:1")  # fmt: skip
spares("WorkerRestarting", "a deploy", [series("worker_start_time_seconds", "", flat(0, 20), flat(1200, 40)),
       series("worker_restarts_total", 'reason="died"', flat(5, 20), flat(0, 40))], 21, 40)  # fmt: skip

story(
    "WorkerMetricsMissing", "warning",
    [series("workers", ALIVE, flat(4, 60)), up(CONFIG.worker_job, flat(1, 20), flat(0, 20), flat(1, 20))],
    quiet=19, firing=30, resolved=45,
)  # fmt: skip
spares("WorkerMetricsMissing", "no worker lives", [series("workers", ALIVE, flat(0, 60)), up(CONFIG.worker_job,
       flat(0, 60))], 30)  # fmt: skip
spares("WorkerMetricsMissing", "one of two is away", [series("workers", ALIVE, flat(4, 60)), up(CONFIG.worker_job,
       flat(0, 60)), up(CONFIG.worker_job, flat(1, 60), instance="b:1")], 30)  # fmt: skip

# What is outside

OPEN = "breaker_open_seconds"
story("BreakerOpen", "warning", [series(OPEN, 'kind="siem"', flat(0, 20), rising(0, 60, 45), flat(0, 20)),
      series(OPEN, 'kind="webhook"', flat(60, 85))], quiet=45, firing=60, resolved=75, kind="siem")  # fmt: skip
spares("BreakerOpen", "a deploy outside", [series(OPEN, 'kind="siem"', flat(0, 20), rising(0, 60, 10), flat(0, 20))],
       29, 45)  # fmt: skip

# Exporter

story("ExporterDown", "critical", [up(CONFIG.exporter_job, flat(1, 20), flat(0, 20), flat(1, 20))],
      quiet=19, firing=30, resolved=41)  # fmt: skip
fires("ExporterDown", "critical", "not even configured", [up("other", flat(1, 60))], 10)
spares("ExporterDown", "one of two is away", [up(CONFIG.exporter_job, flat(0, 60)), up(CONFIG.exporter_job,
       flat(1, 60), instance="b:1")], 30)  # fmt: skip
spares("ExporterDown", "a restart", [up(CONFIG.exporter_job, flat(1, 20), flat(0, 2), flat(1, 20))], 21, 22, 25)

UP, SOURCE = "exporter_source_up", 'source="broker"'
story("ExporterSourceDown", "critical", [series(UP, SOURCE, flat(1, 20), flat(0, 10), flat(1, 20))],
      quiet=19, firing=25, resolved=31, source="broker")  # fmt: skip
spares("ExporterSourceDown", "another exporter reads it", [series(UP, SOURCE, flat(0, 60)), series(UP, SOURCE,
       flat(1, 60), instance="b:1")], 30)  # fmt: skip
spares("ExporterSourceDown", "a scrape gap", [series(UP, SOURCE, flat(1, 20), gap(5), flat(1, 20))], 21, 24, 30)

TOOK = "exporter_collect_duration_seconds"
story("ExporterSlow", "warning", [series(TOOK, SOURCE, flat(0.1, 20), flat(7, 30), flat(0.1, 20))],
      quiet=19, firing=45, resolved=55, source="broker")  # fmt: skip
spares("ExporterSlow", "one slow scrape", [series(TOOK, SOURCE, flat(0.1, 20), flat(9, 1), flat(0.1, 30))], 20, 36)

# Servers

USED, MOST = "redis_memory_used_bytes", "redis_memory_max_bytes"
REDIS, POSTGRES = CONFIG.redis_job, CONFIG.postgres_job
story(
    "BrokerMemoryHigh", "warning",
    [foreign(USED, REDIS, "", flat(10, 20), flat(90, 20), flat(10, 20)), foreign(MOST, REDIS, "", flat(100, 60))],
    quiet=19, firing=35, resolved=45, job=REDIS, instance="a:1",
)  # fmt: skip
spares("BrokerMemoryHigh", "without a limit", [foreign(USED, REDIS, "", flat(90, 60)), foreign(MOST, REDIS, "",
       flat(0, 60))], 30)  # fmt: skip

EVICTED = "redis_evicted_keys_total"
story("BrokerEvicting", "critical", [foreign(EVICTED, REDIS, "", flat(0, 20), flat(5, 60))],
      quiet=19, firing=22, resolved=45, job=REDIS, instance="a:1")  # fmt: skip
spares("BrokerEvicting", "a restart after old evictions", [foreign(EVICTED, REDIS, "", flat(50, 20), flat(0, 40))],
       15, 25)  # fmt: skip

story("BrokerErrors", "warning", [series("broker_errors_total", 'op="ack"', flat(0, 20), rising(0, 60, 30),
      flat(1740, 40))], quiet=19, firing=45, resolved=60, op="ack")  # fmt: skip
spares("BrokerErrors", "the broker restarts", [series("broker_errors_total", 'op="ack"', flat(0, 20),
       flat(200, 40))], 22, 27, 35)  # fmt: skip

CONNECTIONS, ALLOWED = "pg_stat_activity_count", "pg_settings_max_connections"
story(
    "PostgresConnectionsHigh", "warning",
    [foreign(CONNECTIONS, POSTGRES, 'datname="callboard", state="idle"', flat(10, 20), flat(85, 20), flat(10, 20)),
     foreign(CONNECTIONS, POSTGRES, 'datname="callboard", state="active"', flat(5, 60)),
     foreign(ALLOWED, POSTGRES, 'server="x"', flat(100, 60))],
    quiet=19, firing=35, resolved=45, job=POSTGRES, instance="a:1",
)  # fmt: skip
spares("PostgresConnectionsHigh", "a short peak", [foreign(CONNECTIONS, POSTGRES, "", flat(10, 20), flat(95, 8),
       flat(10, 20)), foreign(ALLOWED, POSTGRES, "", flat(100, 60))], 25, 32)  # fmt: skip

SKEW = "broker_clock_skew_seconds"
story("ClockSkew", "warning", [series(SKEW, "", flat(0.01, 20), flat(-15, 20), flat(0.01, 20))],
      quiet=19, firing=30, resolved=45)  # fmt: skip
spares("ClockSkew", "one slow round trip", [series(SKEW, "", flat(0.01, 20), flat(12, 2), flat(0.01, 20))], 21, 27)

# The observer

SAMPLES = "scrape_samples_post_metric_relabeling"
story(
    "CardinalityHigh", "warning",
    [foreign(SAMPLES, CONFIG.exporter_job, "", flat(3000, 20), flat(17_000, 30), flat(3000, 20))],
    quiet=19, firing=45, resolved=55, job=CONFIG.exporter_job, instance="a:1",
)  # fmt: skip
spares("CardinalityHigh", "somebody else's target", [foreign(SAMPLES, "node", "", flat(90_000, 60))], 40)

OTHER = 'queue="mail", actor="_other", outcome="success"'
story("LabelBudgetSpent", "warning", [series("attempts_total", OTHER, "_x19", flat(0, 20), gap(20))],
      quiet=19, firing=30, resolved=45, job=CONFIG.worker_job)  # fmt: skip
fires("LabelBudgetSpent", "warning", "by the exporter", [series("dead_letters", 'queue="mail", actor="_other"',
      flat(0, 60))], 20, job=CONFIG.exporter_job)  # fmt: skip
spares("LabelBudgetSpent", "500 named jobs", [series("attempts_total", 'queue="mail", outcome="success", '
       f'actor="job_{number}"', flat(3, 30)) for number in range(500)], 25)  # fmt: skip

DROPPED = "telemetry_dropped_total"
story(
    "TelemetryDropped", "warning",
    [series(DROPPED, 'signal="span", reason="full"', flat(0, 20), rising(0, 5, 40), flat(195, 30))],
    quiet=19, firing=50, resolved=70, signal="span",
)  # fmt: skip
spares("TelemetryDropped", "once", [series(DROPPED, 'signal="span", reason="full"', flat(0, 20), flat(9, 40))],
       25, 36)  # fmt: skip

story("TargetDown", "warning", [up(CONFIG.worker_job, flat(1, 20), flat(0, 20), flat(1, 20))],
      quiet=19, firing=35, resolved=41, job=CONFIG.worker_job, instance="a:1")  # fmt: skip
spares("TargetDown", "somebody else's; a restart of ours", [up("node", flat(0, 60)), up(CONFIG.worker_job,
       flat(1, 20), flat(0, 8), flat(1, 20))], 28, 35)  # fmt: skip

GROUP = "/etc/prometheus/rules/callboard.alerts.yml;callboard-queues"
FAILURES = "prometheus_rule_evaluation_failures_total"
story(
    "RulesFailing", "warning",
    [foreign(FAILURES, "prometheus", f'rule_group="{GROUP}"', flat(0, 20), rising(0, 1, 20), flat(19, 40))],
    quiet=19, firing=35, resolved=65, rule_group=GROUP,
)  # fmt: skip
spares("RulesFailing", "somebody else's rules", [foreign(FAILURES, "prometheus", 'rule_group="/x/node.yml;node"',
       rising(0, 1, 60))], 40)  # fmt: skip

LOST = "alertmanager_notifications_failed_total"
story(
    "NotificationsFailing", "critical",
    [foreign(LOST, "alertmanager", 'integration="webhook"', flat(0, 20), rising(0, 1, 20), flat(19, 40))],
    quiet=19, firing=35, resolved=60, integration="webhook",
)  # fmt: skip
spares("NotificationsFailing", "one that was tried again", [foreign(LOST, "alertmanager", 'integration="webhook"',
       flat(0, 20), flat(1, 40))], 22, 28)  # fmt: skip
