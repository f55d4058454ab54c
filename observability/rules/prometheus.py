"""prometheus.yml: what is scraped, which rules are loaded and where alerts go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from observability.rules._yaml import dump

if TYPE_CHECKING:
    from observability.rules._yaml import Tree
    from observability.rules.config import ObservabilityConfig

__all__ = ["prometheus_text"]

_SERVERS = """
# The servers themselves, by Debian's prometheus-redis-exporter and prometheus-postgres-exporter; the alerts on memory,
# evictions and connections, and some panels, need them:
#   callboard observability render --set redis_targets=HOST:9121 --set postgres_targets=HOST:9187
"""


def prometheus_text(config: ObservabilityConfig) -> str:
    """The file, without its notice."""
    tree: Tree = {
        "global": {"scrape_interval": config.scrape_interval, "evaluation_interval": config.scrape_interval},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [_static(config.alertmanager_targets)]},
        "scrape_configs": [
            _scrape("callboard-worker", config.worker_targets, config),
            _scrape("callboard-scheduler", config.scheduler_targets, config),
            _scrape("callboard-exporter", config.exporter_targets, config),
            *_optional("callboard-redis", config.redis_targets, config),
            *_optional("callboard-postgres", config.postgres_targets, config),
            {"job_name": "prometheus", **_static(config.prometheus_targets)},
            {"job_name": "alertmanager", **_static(config.alertmanager_targets)},
        ],
    }
    complete = config.redis_targets and config.postgres_targets
    return dump(tree) + ("" if complete else _SERVERS)


def _optional(job: str, targets: str, config: ObservabilityConfig) -> list[Tree]:
    return [_scrape(job, targets, config)] if targets else []


def _scrape(job: str, targets: str, config: ObservabilityConfig) -> dict[str, Tree]:
    return {"job_name": job, "sample_limit": config.sample_limit, **_static(targets)}


def _static(targets: str) -> dict[str, Tree]:
    return {"static_configs": [{"targets": [target.strip() for target in targets.split(",")]}]}
