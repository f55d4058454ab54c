"""Selectors of our metrics: each name is looked up in the catalogue, and each selector names its scrape job.

An expression is written as Python text with `{names}` of this module's `Query` in it; a name that no process serves
is an error when the rules are built, not an alert that stays silent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

from observability.catalogue import CATALOGUE, PREFIX

if TYPE_CHECKING:
    from observability.catalogue import Metric
    from observability.rules.config import ObservabilityConfig

__all__ = ["FOREIGN", "METRICS", "Query", "metrics_in", "tidy"]

#: Series that are not ours, and where they come from.
FOREIGN = {
    "up": "Prometheus, for each target",
    "scrape_samples_post_metric_relabeling": "Prometheus, for each target",
    "prometheus_rule_evaluation_failures_total": "Prometheus",
    "prometheus_notifications_dropped_total": "Prometheus",
    "alertmanager_notifications_failed_total": "Alertmanager",
    "redis_memory_used_bytes": "prometheus-redis-exporter",
    "redis_memory_max_bytes": "prometheus-redis-exporter",
    "redis_evicted_keys_total": "prometheus-redis-exporter",
    "pg_stat_activity_count": "prometheus-postgres-exporter",
    "pg_settings_max_connections": "prometheus-postgres-exporter",
}
METRICS = {metric.name: metric for metric in CATALOGUE}
_SUFFIXES = ("_bucket", "_sum", "_count")
_NAME = re.compile(r"\b(?:" + PREFIX + r"[a-z0-9_]+|" + "|".join(FOREIGN) + r")\b")
#: Names of recording rules hold a colon, and are no metrics of a target.
_RECORDED = re.compile(r"\b[a-z]+:[a-z0-9_]+(?::[a-z0-9_]+)?\b")


@dataclass(frozen=True, slots=True)
class Query:
    """Builds selectors for one configuration."""

    config: ObservabilityConfig

    def __call__(self, name: str, matchers: str = "", *, span: str = "", offset: str = "") -> str:
        """The selector of one of our metrics, named without its prefix: `query("attempts_total", span="5m")`.

        Raises:
            KeyError: The catalogue has no such metric.
        """
        metric = METRICS[PREFIX + _family(name)]
        return self.of(PREFIX + name, self._job(metric), matchers, span=span, offset=offset)

    def _job(self, metric: Metric) -> str:
        """The scrape jobs of a metric: whoever ends a run counts it, and the scheduler ends those of dead workers."""
        config = self.config
        jobs = {"worker": config.worker_job, "scheduler": config.scheduler_job, "exporter": config.exporter_job}
        if metric.process == "worker" and metric.kind == "counter":
            return f"{config.worker_job}|{config.scheduler_job}"
        return jobs[metric.process]

    def of(self, name: str, job: str, matchers: str = "", *, span: str = "", offset: str = "") -> str:
        """The selector of any metric, of the scrape jobs that the regular expression `job` takes."""
        inside = ", ".join([f'job=~"{_escaped(job)}"', *([matchers] if matchers else [])])
        ranged = f"[{span}]" if span else ""
        return f"{name}{{{inside}}}{ranged}" + (f" offset {offset}" if offset else "")


def _family(name: str) -> str:
    for suffix in _SUFFIXES:
        if PREFIX + name not in METRICS and name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _escaped(regex: str) -> str:
    return regex.replace("\\", "\\\\")


def tidy(text: str) -> str:
    """An expression as it stands in the file: without the indentation of the code around it."""
    return dedent(text).strip()


def metrics_in(expression: str) -> set[str]:
    """The metric families that an expression reads from targets; recorded ones are left out."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', _RECORDED.sub("", expression))
    return {name if name in FOREIGN else PREFIX + _family(name.removeprefix(PREFIX)) for name in _NAME.findall(text)}
