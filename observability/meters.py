"""Counts and times of one process, by the rows of the catalogue; added up in batches, since each call costs a lock.

With PROMETHEUS_MULTIPROC_DIR set before Python starts, prometheus_client keeps the values in files of that folder,
which `observability.multiprocess` adds up over all processes. Without it they are series of the process's own registry.
"""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from observability import catalogue
from observability.catalogue import OTHER, PREFIX
from observability.intent import IntentFile, answer_all
from observability.multiprocess import SIDECAR, VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from observability.catalogue import Metric
    from observability.intent import Attempt

__all__ = ["Batch", "Meters", "Tally", "of_this_process"]

#: How values of several processes become one. Gauges that are not here are read by the supervisor, off the job's path.
_GAUGES = {
    "last_progress_timestamp_seconds": "max",
    "worker_prefetched_messages": "livesum",
    "scheduler_last_tick_timestamp_seconds": "max",
    "scheduler_leader": "livesum",
}
#: Classes of exceptions that get a series of their own.
_MOST_ERROR_TYPES = 100
_SIDECAR_SECONDS = 1.0

#: Ids of a trace and of a span.
Exemplar = tuple[str, str]
#: A name without its prefix, and values of its labels.
Family = tuple[str, tuple[str, ...]]


class Tally:
    """Times that are added to a histogram together, in seconds: how many by bucket, and the latest exemplar of each."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts: dict[int, int] = {}
        self.total = 0.0
        self.exemplars: dict[int, tuple[Exemplar, float]] = {}

    def add(self, seconds: float, exemplar: Exemplar | None = None) -> None:
        """One more; a negative time, which two clocks may give, counts as none."""
        seconds = max(seconds, 0.0)
        slot = bisect_left(self.bounds, seconds)
        self.counts[slot] = self.counts.get(slot, 0) + 1
        self.total += seconds
        if exemplar is not None:
            self.exemplars[slot] = exemplar, seconds


class Batch:
    """What is counted together: counters by name and labels, and times."""

    __slots__ = ("counts", "steps", "tallies")

    def __init__(self) -> None:
        self.counts: dict[tuple[str, tuple[str, ...]], float] = {}
        self.tallies: dict[tuple[str, tuple[str, ...]], Tally] = {}
        self.steps: list[tuple[Any, float]] = []

    def inc(self, name: str, labels: tuple[str, ...], amount: float = 1.0) -> None:
        """Add to a counter."""
        key = name, labels
        self.counts[key] = self.counts.get(key, 0.0) + amount

    def merge(self, name: str, labels: tuple[str, ...], tally: Tally) -> None:
        """Add times to a histogram."""
        known = self.tallies.get((name, labels))
        if known is None:
            self.tallies[name, labels] = tally
        else:
            for slot, count in tally.counts.items():
                known.counts[slot] = known.counts.get(slot, 0) + count
            known.total += tally.total
            known.exemplars |= tally.exemplars


class Meters:
    """The families that a process serves. Not for several threads at the same time, but for `inc` and `set`.

    Args:
        processes: The kinds it may be. The families of the first are there from the start, those of another from their
            first use on: a worker shows no 0 of what only a scheduler counts.
        most_actors: Jobs that get series of their own; those beyond are counted under `_other`.
        registry: Where the families are registered.
    """

    def __init__(
        self,
        processes: tuple[catalogue.Process, ...],
        *,
        most_actors: int = 500,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it bears no annotations
        self._families: dict[str, Counter | Gauge | Histogram] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._most_actors = most_actors
        self._actors: dict[str, str] = {}
        self._error_types: set[str] = set()
        folder = os.environ.get(VARIABLE)
        self._folder = Path(folder) if folder else None
        self._intent = IntentFile(self._folder / f"intent_{os.getpid()}.bin") if self._folder else None
        self._sidecar = _Sidecar(self._folder / SIDECAR.format(pid=os.getpid()) if self._folder else None)
        self._registry = registry
        self._lock = threading.Lock()
        rows = (metric for process in processes for metric in catalogue.of(process) if _is_ours(metric))
        self._rows = {metric.name.removeprefix(PREFIX): metric for metric in rows}
        for name, metric in self._rows.items():
            if metric.process == processes[0]:
                self._family(name)

    def inc(self, name: str, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add to a counter; 0 makes its series appear. Thread-safe."""
        self._child(name, labels).inc(amount)

    def set(self, name: str, value: float, labels: tuple[str, ...] = ()) -> None:
        """Set a gauge. Thread-safe."""
        self._child(name, labels).set(value)

    def add(self, batch: Batch) -> None:
        """Count a batch."""
        for value, amount in batch.steps or self._steps(batch):
            value.inc(amount)
        noted = [(family, tally.exemplars) for family, tally in batch.tallies.items() if tally.exemplars]
        if noted:
            self._sidecar.note(noted)

    def _steps(self, batch: Batch) -> list[tuple[Any, float]]:
        """The library's values that a batch changes, and by how much."""
        steps = [(self._child(name, labels)._value, amount) for (name, labels), amount in batch.counts.items()]  # noqa: SLF001 - its files are filled by these
        for (name, labels), tally in batch.tallies.items():
            child = self._child(name, labels)
            steps += [(child._buckets[slot], count) for slot, count in tally.counts.items()]  # noqa: SLF001 - `observe` takes one at a time
            steps.append((child._sum, tally.total))  # noqa: SLF001 - the same
        return steps

    def intend(self, batch: Batch, attempt: tuple[UUID, datetime, int, int]) -> None:
        """Write down what the batch will be once it is counted, before it is committed; see `observability.intent`."""
        if self._intent is not None:
            batch.steps = self._steps(batch)
            targets = [(value._params[0], value._key, value._value + amount) for value, amount in batch.steps]  # noqa: SLF001 - as above
            self._intent.write(attempt, targets)

    def done(self) -> None:
        """The batch is counted, or was not committed."""
        if self._intent is not None:
            self._intent.clear()

    def answer(self, was_committed: Callable[[Attempt], bool]) -> None:
        """Find out for the supervisor what of the batches of dead processes was committed."""
        if self._folder is not None:
            answer_all(self._folder, was_committed)

    def actor(self, name: str) -> str:
        """The label of a job: its name, or `_other` once there are too many."""
        known = self._actors.get(name)
        if known is None:
            within = len(self._actors) < self._most_actors
            known = self._actors[name] = name if within else OTHER
            if not within:
                self.inc("telemetry_dropped_total", ("label", "actor_budget"))
        return known

    def error_type(self, name: str) -> str:
        """The label of a class of exceptions: its name, or `_other` once there are too many."""
        if name not in self._error_types:
            if len(self._error_types) >= _MOST_ERROR_TYPES:
                return OTHER
            self._error_types.add(name)
        return name

    def _child(self, name: str, labels: tuple[str, ...]) -> Any:  # noqa: ANN401 - one of the library's
        key = name, labels
        child = self._children.get(key)
        if child is None:
            family = self._family(name)
            child = self._children[key] = family.labels(*labels) if labels else family
        return child

    def _family(self, name: str) -> Counter | Gauge | Histogram:
        with self._lock:
            if name not in self._families:
                self._families[name] = _make(self._rows[name], self._registry)
            return self._families[name]


def _is_ours(metric: Metric) -> bool:
    return metric.kind != "gauge" or metric.name.removeprefix(PREFIX) in _GAUGES


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
    mode: Any = _GAUGES[metric.name.removeprefix(PREFIX)]
    return Gauge(metric.name, metric.help, metric.labels, registry=registry, multiprocess_mode=mode)


class _Sidecar:
    """Exemplars of this process, which the library's files have no place for: one JSON file, written once a second."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._noted: dict[tuple[Family, int], tuple[Exemplar, float, float]] = {}
        self._written = 0.0

    def note(self, families: Iterable[tuple[Family, Mapping[int, tuple[Exemplar, float]]]]) -> None:
        """Keep these; the file has them a second later at the earliest, and only if another comes then."""
        now = time.time()
        for family, exemplars in families:
            for slot, (exemplar, seconds) in exemplars.items():
                self._noted[family, slot] = exemplar, seconds, now
        if self._path is not None and not 0 <= now - self._written < _SIDECAR_SECONDS:
            self._written = now
            self._write(self._path)

    def _write(self, path: Path) -> None:
        noted = self._noted.items()
        rows = [
            [PREFIX + name, labels, slot, *exemplar, seconds, at]
            for ((name, labels), slot), (exemplar, seconds, at) in noted
        ]
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(rows))
        draft.replace(path)


@lru_cache(maxsize=1)
def of_this_process(most_actors: int = 500) -> Meters:
    """The one set of this process, a worker if a supervisor gave it a folder; both kinds may end a run."""
    processes: tuple[catalogue.Process, ...] = (
        ("worker", "scheduler") if VARIABLE in os.environ else ("scheduler", "worker")
    )
    return Meters(processes, most_actors=most_actors)
