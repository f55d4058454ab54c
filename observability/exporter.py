"""A snapshot as Prometheus series: gauges and counters come from the ledger and the broker at scrape time.

Nothing is kept between two scrapes, so that two exporters side by side say the same. A source that is down, or hangs,
loses its series instead of repeating old values.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from observability._samples import READERS, Reader, Value
from observability.catalogue import PREFIX, Metric, of
from observability.snapshot import SOURCES, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric as Family

    StateFamily = CounterMetricFamily | GaugeMetricFamily

__all__ = ["StateCollector", "state_registry"]

_log = structlog.get_logger(__name__)

# Postgres gives sums and averages as Decimal.
_NUMBERS = (int, float, Decimal)
_SOURCE_UP = PREFIX + "exporter_source_up"
_COLLECT_DURATION = PREFIX + "exporter_collect_duration_seconds"
_FAMILIES: Mapping[str, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}
_ROWS = of("exporter")


def state_registry(collect: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry of its own with one `StateCollector`, as `server.MetricsServer` takes it."""
    registry = CollectorRegistry()
    registry.register(StateCollector(collect))
    return registry


class StateCollector(Collector):
    """Calls `collect` once for each scrape, in the thread of the scrape; never raises."""

    def __init__(self, collect: Callable[[], Snapshot]) -> None:
        self._collect = collect

    def describe(self) -> Iterator[Family]:
        """All families without samples: registering asks for names, and must not touch a database."""
        return (_family(metric) for metric in _ROWS)

    def collect(self) -> Iterator[Family]:
        """The families that have samples now, in the catalogue's order."""
        snapshot = self._snapshot()
        samples = {metric.name: _family(metric) for metric in _ROWS}
        broken = [reader.source for reader in READERS if not _read(reader, snapshot, samples[reader.metric])]
        _add_sources(snapshot, broken, samples)
        return (family for family in samples.values() if family.samples)

    def _snapshot(self) -> Snapshot:
        try:
            return self._collect()
        except Exception as error:  # noqa: BLE001 - Prometheus is told by exporter_source_up 0, not by HTTP 500
            _log.error("exporter.collect_failed", exc_info=error)
            return Snapshot()


def _read(reader: Reader, snapshot: Snapshot, family: StateFamily) -> bool:
    """Add a reader's samples; False if its facts cannot be read, which then counts as its source being down."""
    if reader.source is not None and not _is_up(snapshot, reader.source):
        return True
    known = len(family.samples)
    try:
        for labels, value in reader.read(snapshot):
            _add(family, labels, value)
    except Exception as error:  # noqa: BLE001 - as above; the other families are still served
        _log.error("exporter.facts_unreadable", metric=reader.metric, exc_info=error)
        del family.samples[known:]
        return False
    return True


def _add_sources(snapshot: Snapshot, broken: list[str | None], samples: Mapping[str, StateFamily]) -> None:
    for source in SOURCES:
        _add(samples[_SOURCE_UP], (source,), _is_up(snapshot, source) and source not in broken)
        if state := snapshot.sources.get(source):
            _add(samples[_COLLECT_DURATION], (source,), state.seconds)


def _is_up(snapshot: Snapshot, source: str) -> bool:
    state = snapshot.sources.get(source)
    return state is not None and state.up


def _family(metric: Metric) -> StateFamily:
    return _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)


def _add(family: StateFamily, labels: tuple[str, ...], value: Value) -> None:
    if isinstance(value, _NUMBERS):
        family.add_metric(labels, float(value))
    elif value is not None:
        raise TypeError(f"{family.name}: {value!r} is no value of a {family.type}: give a number, or None")
