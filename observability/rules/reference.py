"""docs/reference/alerts.md: every alert, recording rule and field of the configuration."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from observability.rules.alert import SEVERITIES
from observability.rules.alertmanager import INHIBITIONS, receiver_of
from observability.rules.build import alerts
from observability.rules.config import ObservabilityConfig
from observability.rules.recording import recordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from observability.rules.alert import Alert

__all__ = ["alerts_page"]

_NOTICE = "<!-- Built by `python -m observability.docs`. Change the code in observability/rules, not this page. -->"

_INTRODUCTION = """{count} alerts, in `prometheus/rules/callboard.alerts.yml`; each has a runbook, and the annotations \
`summary`, `description`, `command`, `runbook_url` and `dashboard_url`. Thresholds are fields of the configuration \
below: `callboard observability render --out DIR --set canary_age_seconds=600` writes the files anew."""
_HELD = "A cause holds back its symptoms, where the labels in the third column are equal."
_FIELDS = """The fields of `ObservabilityConfig`, and their defaults. What they mean is said in \
`observability/rules/config.py`."""


def alerts_page() -> str:
    """The text of the page, with the default configuration."""
    config = ObservabilityConfig()
    every = alerts(config)
    blocks = ["# Alerts", _NOTICE, _INTRODUCTION.format(count=len({alert.name for alert in every}))]
    blocks += [_table(["Alert", "Severity", "For", "Says", "Command"], map(_alert, every)), "## Severities"]
    blocks += [_table(["Severity", "Receiver", "Means"], _severities()), "## What holds back what", _HELD]
    blocks += [_table(["While this fires", "these are not told", "Equal"], _inhibitions()), "## Recording rules"]
    blocks += [_table(["Series", "Means"], ([f"`{each.record}`", each.help] for each in recordings(config)))]
    blocks += ["## Configuration", _FIELDS, _table(["Field", "Default"], _defaults(config))]
    return "\n\n".join(blocks) + "\n"


def _severities() -> Iterable[Sequence[str]]:
    return ([severity, f"`{receiver_of(severity)}`", means] for severity, means in SEVERITIES.items())


def _defaults(config: ObservabilityConfig) -> Iterable[Sequence[str]]:
    return ([f"`{each.name}`", f"`{getattr(config, each.name)}`"] for each in fields(config))


def _alert(alert: Alert) -> list[str]:
    name = f"[{alert.name}](../runbooks/{alert.name}.md)"
    labels = "".join(f", {key} `{value}`" for key, value in alert.labels.items())
    return [name + labels, alert.severity, alert.wait, alert.summary, f"`{alert.command}`"]


def _inhibitions() -> Iterable[Sequence[str]]:
    for rule in INHIBITIONS:
        only = f" (of `{rule.only}`)" if rule.only else ""
        yield [rule.cause, ", ".join(rule.symptoms) + only, ", ".join(rule.equal)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
