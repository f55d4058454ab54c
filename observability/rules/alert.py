"""One alert, and what the builder adds to it: severity, texts, links and the command that acts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from observability.rules._yaml import Tree
    from observability.rules.config import ObservabilityConfig

__all__ = ["SEVERITIES", "Alert", "JobRunbook", "Severity", "dashboard_url", "rule", "runbook_url"]

Severity = Literal["critical", "warning", "info", "none"]
#: What each means to whoever is told.
SEVERITIES: dict[Severity, str] = {
    "critical": "somebody is called, at any hour",
    "warning": "a ticket: somebody looks at it within a working day",
    "info": "a note once a day: it explains other alerts, or is to be looked at some time",
    "none": "the Watchdog: always firing, watched from outside",
}


class JobRunbook(NamedTuple):
    """The page that a job's own team wrote about it."""

    job: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alerting rule. Two with one name are variants of one alert: they share a runbook and differ in their labels.

    Attributes:
        summary: One sentence without figures.
        description: With `{{ $labels.x }}` and `{{ $value }}`.
        command: The `callboard` command that acts, or looks closer where nothing can be done at once.
        dashboard: Its uid.
        link: Labels of the alert that fill the dashboard's variables of the same name.
        wait: How long the expression must hold, the rule's `for`.
        keep: How long the alert goes on after that, the rule's `keep_firing_for`.
        labels: Beside the severity.
    """

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    command: str
    dashboard: str
    link: tuple[str, ...] = ()
    wait: str = "0s"
    keep: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def rule(alert: Alert, config: ObservabilityConfig, runbooks: Sequence[JobRunbook] = ()) -> dict[str, Tree]:
    """The alert as it stands in a rules file; one that names a job links to the job's own runbook too."""
    kept = {"keep_firing_for": alert.keep} if alert.keep else {}
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        **kept,
        "labels": {"severity": alert.severity, **alert.labels},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "command": alert.command,
            "runbook_url": runbook_url(alert, config),
            "dashboard_url": dashboard_url(alert, config),
            **_own_runbook(alert, runbooks),
        },
    }


def _own_runbook(alert: Alert, runbooks: Sequence[JobRunbook]) -> dict[str, str]:
    """A template that picks the page by the job's name; Prometheus has no other place for a table."""
    label = next((label for label in alert.link if label in ("actor", "schedule")), "")
    if not label or not runbooks:
        return {}
    cases = "{{ else ".join(
        f"if eq $labels.{label} {json.dumps(each.job)} }}}}{each.url.replace('{{', '')}" for each in runbooks
    )
    return {"job_runbook_url": f"{{{{ {cases}{{{{ end }}}}"}


def runbook_url(alert: Alert, config: ObservabilityConfig) -> str:
    """The address of its page."""
    return f"{config.runbook_url}/{alert.name}.md"


def dashboard_url(alert: Alert, config: ObservabilityConfig) -> str:
    """The dashboard with its variables filled from the alert's labels."""
    variables = "&".join(f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in alert.link)
    return f"{config.grafana_url}/d/{alert.dashboard}" + (f"?{variables}" if variables else "")
