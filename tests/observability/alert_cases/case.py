"""One story about one alert: series over time, and what must be firing when. Written as promtool's unit tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from observability.rules.config import ObservabilityConfig
from observability.rules.promql import METRICS

CONFIG = ObservabilityConfig()
_JOBS = {"worker": CONFIG.worker_job, "scheduler": CONFIG.scheduler_job, "exporter": CONFIG.exporter_job}
_LONG = 15
_SUFFIXES = ("_bucket", "_sum", "_count")

Series = tuple[str, str]


def flat(value: float, count: int) -> str:
    """So many samples of one value."""
    return f"{value:g}+0x{count - 1}"


def rising(start: float, step: float, count: int) -> str:
    """So many samples, each `step` above the one before."""
    return f"{start:g}{step:+g}x{count - 1}"


def gap(count: int) -> str:
    """So many scrapes that failed."""
    return f"stale _x{count - 1}" if count > 1 else "stale"


def series(name: str, labels: str, *values: str, instance: str = "a:1", job: str = "") -> Series:
    """One series of ours, with the scrape job of the process that serves it."""
    family = name
    for suffix in _SUFFIXES:
        if f"callboard_{family}" not in METRICS:
            family = name.removesuffix(suffix)
    job = job or _JOBS[METRICS[f"callboard_{family}"].process]
    return foreign(f"callboard_{name}", job, labels, *values, instance=instance)


def foreign(name: str, job: str, labels: str, *values: str, instance: str = "a:1") -> Series:
    """One series of somebody else's."""
    inside = ", ".join(filter(None, [f'job="{job}"', f'instance="{instance}"', labels]))
    return f"{name}{{{inside}}}", " ".join(values)


@dataclass(frozen=True)
class Case:
    """`firing` maps minutes to the labels, but for name and severity, of the alerts that must be firing then, no other.

    `kind` is `story` for one that shows the alert quiet, firing and resolved, or what a false alarm would look like.
    """

    alert: str
    kind: str
    series: list[Series]
    firing: dict[int, list[dict[str, str]]]
    step: int = 1
    severity: str = ""

    @property
    def shrink(self) -> int:
        """By how much time is made shorter, in the story and in the rules alike.

        promtool 2.42 loses samples, now and then, when a story spans more than 36 hours: its storage then compacts.
        """
        return 12 if self.step >= _LONG else 1

    @property
    def pace(self) -> str:
        """Time between two samples, and between two evaluations."""
        return self._at(self.step)

    def _at(self, minute: int) -> str:
        return f"{minute * 60 // self.shrink}s"

    def as_test(self) -> dict[str, Any]:
        """The test group."""
        return self._group(list(self.firing.items()))

    def _group(self, checks: list[tuple[int, list[dict[str, str]]]]) -> dict[str, Any]:
        return {
            "name": f"{self.alert}: {self.kind}",
            "interval": self.pace,
            "input_series": [{"series": name, "values": values} for name, values in self.series],
            "promql_expr_test": [
                {
                    "expr": f'ALERTS{{alertname="{self.alert}", alertstate="firing"}}',
                    "eval_time": self._at(minute),
                    "exp_samples": [{"labels": self._labels(labels), "value": 1} for labels in expected],
                }
                for minute, expected in checks
            ],
        }

    def as_exhibit(self) -> dict[str, Any]:
        """A group that fails at the first moment of firing, and so shows the alert's texts."""
        minute = next(minute for minute, expected in self.firing.items() if expected)
        wrong = {"eval_time": self._at(minute), "alertname": self.alert, "exp_alerts": []}
        return self._group([]) | {"alert_rule_test": [wrong]}

    def _labels(self, labels: dict[str, str]) -> str:
        every = {"alertname": self.alert, "alertstate": "firing", "severity": self.severity, **labels}
        return "ALERTS{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in every.items()) + "}"


@dataclass
class Table:
    """The cases of one topic, as they are written down."""

    cases: list[Case] = field(default_factory=list)

    def story(
        self,
        alert: str,
        severity: str,
        given: list[Series],
        *,
        quiet: int,
        firing: int,
        resolved: int,
        step: int = 1,
        also: dict[str, str] | None = None,
        **labels: str,
    ) -> None:
        """Quiet at one minute, firing with these labels at another, resolved at a third.

        `also` are the labels in which a second variant differs that fires with it.
        """
        firings = [labels] if also is None else [labels, labels | also]
        told: dict[int, list[dict[str, str]]] = {quiet: [], firing: firings, resolved: []}
        self.cases.append(Case(f"Callboard{alert}", "story", given, told, step, severity))

    def spares(self, alert: str, why: str, given: list[Series], *minutes: int, step: int = 1) -> None:
        """A false alarm that must not come: nothing fires at any of the minutes."""
        self.cases.append(Case(f"Callboard{alert}", why, given, {minute: [] for minute in minutes}, step))

    def fires(
        self, alert: str, severity: str, why: str, given: list[Series], minute: int, *, step: int = 1, **labels: str
    ) -> None:
        """One more way to fire."""
        self.cases.append(Case(f"Callboard{alert}", why, given, {minute: [labels]}, step, severity))
