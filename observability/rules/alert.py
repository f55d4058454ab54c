"""One alert, and what the builder adds to it: severity, texts, links and the command that acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from observability.rules._yaml import Tree
    from observability.rules.config import ObservabilityConfig

__all__ = ["SEVERITIES", "Alert", "Severity", "dashboard_url", "rule", "runbook_url"]

Severity = Literal["critical", "warning", "info", "none"]
#: What each means to whoever is told.
SEVERITIES: dict[Severity, str] = {
    "critical": "somebody is called, at any hour",
    "warning": "a ticket: somebody looks at it within a working day",
    "info": "a note once a day: it explains other alerts, or is to be looked at some time",
    "none": "the Watchdog: always firing, watched from outside",
}


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


def rule(alert: Alert, config: ObservabilityConfig) -> dict[str, Tree]:
    """The alert as it stands in a rules file."""
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
        },
    }


def runbook_url(alert: Alert, config: ObservabilityConfig) -> str:
    """The address of its page."""
    return f"{config.runbook_url}/{alert.name}.md"


def dashboard_url(alert: Alert, config: ObservabilityConfig) -> str:
    """The dashboard with its variables filled from the alert's labels."""
    variables = "&".join(f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in alert.link)
    return f"{config.grafana_url}/d/{alert.dashboard}" + (f"?{variables}" if variables else "")
