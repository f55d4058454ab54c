"""What a live Prometheus says about targets, rules and metrics, one row for each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx

from callboard.errors import CallboardError
from cli.observability._render import dashboards
from observability.rules.build import alerts
from observability.rules.promql import METRICS, metrics_in
from observability.rules.recording import recordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from observability.rules.config import ObservabilityConfig

_SECONDS = 10.0
#: Metrics that may have no series yet, and what brings the first one.
WAITING = {
    "callboard_workers_expected": "CALLBOARD_WORKERS_EXPECTED is not set",
    "callboard_canary_last_success_timestamp_seconds": "canaries are switched off",
    "callboard_slo_objective_ratio": "no job has an objective",
    "callboard_slo_events_total": "no job has an objective",
    "callboard_actor_time_limit_seconds": "no job has a time limit",
    "callboard_broker_errors_total": "no call to the broker has failed",
    "callboard_telemetry_dropped_total": "nothing has been lost",
    "callboard_errors_total": "no attempt has raised",
    "callboard_worker_restarts_total": "no worker process has been replaced",
    "callboard_records_processed_total": "no job has counted records",
    "callboard_enqueued_total": "nothing has been sent",
    "callboard_last_progress_timestamp_seconds": "no run has begun",
    "callboard_in_progress": "no run has begun",
    "callboard_run_cpu_seconds_total": "no attempt has ended",
    "callboard_run_duration_seconds": "no attempt has ended",
    "callboard_queue_wait_seconds": "no attempt has ended",
    "callboard_end_to_end_seconds": "no run has ended",
    "callboard_scheduler_tick_lag_seconds": "no tick has been sent",
    "callboard_schedule_last_success_timestamp_seconds": "no schedule has succeeded",
    "callboard_schedule_last_start_timestamp_seconds": "no scheduled run has begun",
    "callboard_schedule_last_completion_timestamp_seconds": "no scheduled run has ended",
    "callboard_schedule_last_duration_seconds": "no scheduled run has ended",
    "callboard_schedule_last_records": "no scheduled run has ended",
    "callboard_schedule_missed_total": "no schedule is declared",
    "alertmanager_notifications_failed_total": "Alertmanager is not scraped by this Prometheus",
}


class PrometheusError(CallboardError):
    """Prometheus does not answer, or answers with an error."""


class Server:
    """The HTTP API of one Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """The `data` of an answer.

        Raises:
            PrometheusError: There is none.
        """
        try:
            answer = httpx.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=_SECONDS)
            answer.raise_for_status()
            return answer.json()["data"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
            raise PrometheusError(
                f"Prometheus at {self._url} gave no answer ({error}); is --prometheus right?"
            ) from None


def rows(server: Server, config: ObservabilityConfig) -> list[dict[str, str]]:
    """Everything that was looked at: `state` is ok, waits or fails."""
    return [*_targets(server, config), *_rules(server, config), *_metrics(server, config)]


def _row(state: str, kind: str, name: str, what: str = "") -> dict[str, str]:
    return {"state": state, "kind": kind, "name": name, "what": what}


def _targets(server: Server, config: ObservabilityConfig) -> Iterator[dict[str, str]]:
    active = server.get("targets", state="active")["activeTargets"]
    for job in (config.worker_job, config.scheduler_job, config.exporter_job):
        if not any(re.fullmatch(job, target["labels"]["job"]) for target in active):
            yield _row("fails", "target", job, "no scrape job of this name has a target")
    for target in active:
        if re.fullmatch(config.jobs, target["labels"]["job"]):
            up, name = target["health"] == "up", f"{target['labels']['job']} {target['labels']['instance']}"
            yield _row("ok" if up else "fails", "target", name, target["lastError"])


def _rules(server: Server, config: ObservabilityConfig) -> Iterator[dict[str, str]]:
    groups = server.get("rules")["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]
    wanted = {each.name for each in alerts(config)} | {each.record for each in recordings(config)}
    for name in sorted(wanted):
        found = [rule for rule in loaded if rule["name"] == name]
        # A rule that was not evaluated yet has the health `unknown`.
        sick = [rule for rule in found if rule["health"] == "err"]
        if not found:
            yield _row("fails", "rule", name, "not loaded")
        else:
            yield _row("fails" if sick else "ok", "rule", name, "; ".join(rule.get("lastError", "") for rule in sick))


def _metrics(server: Server, config: ObservabilityConfig) -> Iterator[dict[str, str]]:
    wanted = _wanted(config)
    series = {_series(name): name for name in wanted}
    query = f'count by (__name__) ({{__name__=~"{"|".join(sorted(series))}"}})'
    found = {series[each["metric"]["__name__"]] for each in server.get("query", query=query)["result"]}
    for name, users in sorted(wanted.items()):
        reader = ", ".join(sorted(users))
        if name in found:
            yield _row("ok", "metric", name)
        elif why := _waits(name, config):
            yield _row("waits", "metric", name, why)
        else:
            yield _row("fails", "metric", name, f"has no series; read by {reader}")


def _waits(name: str, config: ObservabilityConfig) -> str:
    if name.startswith("redis_") and not config.redis_targets:
        return "redis_targets is not set"
    if name.startswith("pg_") and not config.postgres_targets:
        return "postgres_targets is not set"
    return WAITING.get(name, "")


def _series(name: str) -> str:
    metric = METRICS.get(name)
    return f"{name}_count" if metric is not None and metric.kind == "histogram" else name


def _wanted(config: ObservabilityConfig) -> dict[str, set[str]]:
    """Metric, and the alerts, recording rules and dashboards that read it."""
    wanted: dict[str, set[str]] = {}
    read: list[tuple[str, str]] = [(each.name, each.expr) for each in alerts(config)]
    read += [(each.record, each.expr) for each in recordings(config)]
    read += [(name, expr) for name, text in dashboards(config).items() for expr in _expressions(json.loads(text))]
    for user, expr in read:
        for name in metrics_in(expr):
            wanted.setdefault(name, set()).add(user)
    return wanted


def _expressions(node: object) -> Iterable[str]:
    """Each `expr` of a dashboard, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for value in node.values():
            yield from _expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _expressions(value)
