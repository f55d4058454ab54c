"""The one settings object of rules, dashboards and Alertmanager: selectors, thresholds and addresses.

`callboard observability render --set name=value` changes any field. A selector is a regular expression as Prometheus
takes it after `=~`; a span is written like `10m`; all else is in seconds, ratios and counts.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ObservabilityConfig"]

_SPAN = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+")
_TARGETS = re.compile(r"[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}")
#: In seconds; of what is built here, only these units are used.
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservabilityConfig:
    """What differs between two installations; the defaults are those of docker-compose.yml.

    Attributes:
        jobs: Selects the scrape jobs of all our processes and of the exporters of their servers.
        worker_job, scheduler_job, exporter_job, redis_job, postgres_job: Select one kind of process each.
        prometheus_job, alertmanager_job: Select the two servers that watch themselves.
        prometheus_url, grafana_url, runbook_url: Base addresses of links, without a slash at the end.
        worker_targets, scheduler_targets, exporter_targets: host:port, several with commas; prometheus.yml scrapes
            them.
        redis_targets, postgres_targets: The exporters of the servers themselves; empty: not scraped.
        alertmanager_targets: Where Prometheus sends alerts.
        page_webhook, ticket_webhook: Where Alertmanager posts critical alerts, and all others.
        heartbeat_webhook: Where the Watchdog goes; what listens there calls out when it falls silent.
        mail_to, mail_from, smarthost: Mail beside the webhooks; no mail while `mail_to` is empty.
        smtp_tls: Whether the smarthost must be spoken to over TLS.
        sample_limit: Series of one target beyond which Prometheus refuses the scrape.
    """

    jobs: str = "callboard-.+"
    worker_job: str = "callboard-worker"
    scheduler_job: str = "callboard-scheduler"
    exporter_job: str = "callboard-exporter"
    redis_job: str = "callboard-redis"
    postgres_job: str = "callboard-postgres"
    prometheus_job: str = "prometheus"
    alertmanager_job: str = "alertmanager"

    prometheus_url: str = "http://localhost:9090"
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = "https://runbooks.example.org/callboard"

    worker_targets: str = "worker:9192"
    scheduler_targets: str = "scheduler:9193"
    exporter_targets: str = "exporter:9191"
    redis_targets: str = ""
    postgres_targets: str = ""
    prometheus_targets: str = "127.0.0.1:9090"
    alertmanager_targets: str = "alertmanager:9093"
    scrape_interval: str = "15s"
    sample_limit: int = 20_000

    page_webhook: str = "http://alert-receiver:9094/alerts"
    ticket_webhook: str = "http://alert-receiver:9094/alerts"
    heartbeat_webhook: str = "http://dead-man:9095/watchdog"
    mail_to: str = ""
    mail_from: str = "callboard@localhost"
    smarthost: str = "127.0.0.1:1025"
    smtp_tls: bool = True

    schedule_failures: int = 3
    schedule_resume_grace: str = "10m"
    schedule_paused: str = "7d"
    scheduler_silence_seconds: float = 180.0
    queue_stall: str = "10m"
    queue_stall_long: str = "2h"
    queue_resume_grace: str = "10m"
    queue_paused: str = "1d"
    queue_growth_floor: int = 1000
    queue_growth_factor: float = 10.0
    delayed_overdue_seconds: float = 120.0
    canary_age_seconds: float = 300.0
    outbox_age_seconds: float = 300.0
    slo_min_events: int = 20
    failure_ratio: float = 0.2
    failure_min_attempts: int = 20
    retry_ratio: float = 0.5
    retry_min_attempts: int = 50
    skipped_ratio: float = 0.5
    skipped_min_attempts: int = 20
    dead_letter_age_seconds: float = 604_800.0
    stuck_factor: float = 1.1
    progress_silence_seconds: float = 900.0
    duration_factor: float = 2.0
    duration_floor_seconds: float = 1.0
    duration_min_runs: int = 20
    saturation_ratio: float = 0.9
    worker_restarts: int = 3
    broker_memory_ratio: float = 0.8
    broker_errors_per_second: float = 0.1
    postgres_connections_ratio: float = 0.8
    clock_skew_seconds: float = 10.0
    breaker_open_seconds: float = 1800.0
    cardinality_ratio: float = 0.8
    exporter_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Raise ValueError for the first field that cannot stand in a rule."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    def changed(self, options: Mapping[str, str]) -> ObservabilityConfig:
        """A copy with the named fields set from text.

        Raises:
            ValueError: There is no such field, or the text is no value of it.
        """
        return replace(self, **{name: self._parsed(name, text) for name, text in options.items()})

    def _parsed(self, name: str, text: str) -> Any:  # noqa: ANN401 - whatever type the field has
        known = [field.name for field in fields(self)]
        if name not in known:
            close = difflib.get_close_matches(name, known, 2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"the fields are {', '.join(known)}."
            raise ValueError(f"{name} is no field of the configuration; {hint}")
        kind = type(getattr(self, name))
        try:
            return _switch(text) if kind is bool else kind(text)
        except ValueError:
            raise ValueError(f"{name}={text!r} must be {_KINDS[kind]}") from None

    def seconds(self, name: str) -> float:
        """A span's length, e.g. 600 for a field that holds `10m`."""
        parts = re.findall(r"([0-9]+)(ms|[smhdwy])", str(getattr(self, name)))
        return sum(int(number) * _UNITS[unit] for number, unit in parts)


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SPANS = ("scrape_interval", "schedule_resume_grace", "schedule_paused", "queue_stall", "queue_stall_long")


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _check(name: str, value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
        raise ValueError(f"{name}={value!r} must be above 0")
    if not isinstance(value, str):
        return
    if name.endswith("_ratio") or "\n" in value:
        raise ValueError(f"{name}={value!r} must be one line")
    if name in (*_SPANS, "queue_resume_grace", "queue_paused") and not _SPAN.fullmatch(value):
        raise ValueError(f"{name}={value!r} must be a span as Prometheus writes it, e.g. 10m")
    if name == "jobs" or name.endswith("_job"):
        _check_regex(name, value)
    if name.endswith("_targets") and not all(_TARGETS.fullmatch(part.strip()) for part in value.split(",") if part):
        raise ValueError(f"{name}={value!r} must be host:port, several with commas between")
    if name.endswith(("_url", "_webhook")) and not re.match(r"https?://[^\s\"]+$", value):
        raise ValueError(f"{name}={value!r} must be an http or https address")


def _check_regex(name: str, value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{name}={value!r} is no regular expression: {error}") from None
    if not value or set(value) & set('"`'):
        raise ValueError(f"{name}={value!r} must not be empty or hold a quotation mark: it stands in a selector")
