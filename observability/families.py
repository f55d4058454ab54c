"""Families of the catalogue, made of values that are at hand when Prometheus asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from observability.catalogue import CATALOGUE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from observability.catalogue import Metric

__all__ = ["counter", "gauge"]

_ROWS: Mapping[str, Metric] = {metric.name.removeprefix(PREFIX): metric for metric in CATALOGUE}


def gauge(name: str, values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    """A gauge with a sample for each tuple of label values."""
    row = _ROWS[name]
    family = GaugeMetricFamily(row.name, row.help, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def counter(name: str, values: Mapping[tuple[str, ...], float]) -> CounterMetricFamily:
    """A counter with a sample for each tuple of label values."""
    row = _ROWS[name]
    family = CounterMetricFamily(row.name, row.help, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
