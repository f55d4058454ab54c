"""One `/metrics` for several processes: adds up the files in which prometheus_client keeps each process's values.

The library's own collector reads and parses every file of every process that ever lived at each scrape, and knows no
exemplars. This one parses a key once, takes the values of the dead over into memory and deletes their files, and adds
the exemplars that `observability.meters` writes beside them.
"""

from __future__ import annotations

import json
import os
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from observability import intent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["SIDECAR", "VARIABLE", "ProcessesCollector"]

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SIDECAR = "exemplars_{pid}.json"
#: Gauges of these kinds say something of a process that lives; the library keeps one file for each kind.
_OF_THE_LIVING = ("all", "live")


class _Series(NamedTuple):
    """What a key in a file says: a value of a metric, of one bucket if `bound` is given."""

    metric: str
    sample: str
    labels: tuple[tuple[str, str], ...]
    bound: float | None
    help: str


class ProcessesCollector(Collector):
    """Collects from a folder; thread-safe.

    Args:
        folder: Where the processes write; nobody else does.
        more: Families that are known here and not in files, asked at each scrape.
    """

    def __init__(self, folder: Path, more: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._folder = folder
        self._more = more
        self._lock = threading.Lock()
        self._keys: dict[str, _Series] = {}
        self._dead: dict[str, dict[str, float]] = {"counter": {}, "histogram": {}, "summary": {}}
        self._undecided: dict[int, list[tuple[str, str, float]]] = {}
        self._exemplars: dict[tuple[str, tuple[str, ...], int], list[Any]] = {}

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there will be is not known before the processes write."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families that any process has written, then the others."""
        with self._lock:
            families = [*self._sums("counter"), *self._sums("summary"), *self._histograms()]
            gauges = [str(path) for path in self._folder.glob("gauge_*.db")]
        yield from families
        yield from MultiProcessCollector.merge(gauges)  # type: ignore[no-untyped-call]  # it bears no annotations
        yield from self._more()

    def bury(self, pid: int) -> None:
        """Keep what a dead process has counted, and forget how it was."""
        with self._lock:
            paths = {kind: self._folder / f"{kind}_{pid}.db" for kind in self._dead}
            known = {(kind, key): value for kind, path in paths.items() for key, value in _values(path)}
            self._look_for_more(pid, known)
            for (kind, key), value in known.items():
                self._dead[kind][key] = self._dead[kind].get(key, 0.0) + value
            self._read_exemplars(self._folder / SIDECAR.format(pid=pid))
            gauges = self._folder.glob(f"gauge_*_{pid}.db")
            of_the_living = [path for path in gauges if path.name.split("_")[1].startswith(_OF_THE_LIVING)]
            for path in [*paths.values(), *of_the_living, self._folder / SIDECAR.format(pid=pid)]:
                path.unlink(missing_ok=True)

    def _look_for_more(self, pid: int, known: Mapping[tuple[str, str], float]) -> None:
        """What the process may have committed and could not count any more: a living worker is asked."""
        path = self._folder / f"intent_{pid}.bin"
        found = intent.read_intent(path)
        short = [] if found is None else intent.missing(found, known)
        if found is not None and short:
            self._undecided[pid] = short
            intent.ask(self._folder, pid, found.attempt)
        path.unlink(missing_ok=True)

    def settle(self) -> None:
        """Count what the dead could not count any more, as far as workers have found out; call it now and then."""
        for pid in list(self._undecided):
            kept = intent.read_answer(self._folder, pid)
            if kept is None:
                continue
            with self._lock:
                for kind, key, amount in self._undecided.pop(pid):
                    if kept:
                        self._dead[kind][key] = self._dead[kind].get(key, 0.0) + amount

    def _sums(self, kind: str) -> list[Metric]:
        families: dict[str, Metric] = {}
        for key, value in self._added_up(kind).items():
            series = self._series(key)
            family = families.get(series.metric)
            if family is None:
                family = families[series.metric] = Metric(series.metric, series.help, kind)
            family.samples.append(Sample(series.sample, dict(series.labels), value))
        return list(families.values())

    def _histograms(self) -> list[Metric]:
        for path in self._folder.glob(SIDECAR.format(pid="*")):
            self._read_exemplars(path)
        buckets: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[float, float]]] = defaultdict(list)
        families: dict[str, Metric] = {}
        for key, value in self._added_up("histogram").items():
            series = self._series(key)
            if series.metric not in families:
                families[series.metric] = Metric(series.metric, series.help, "histogram")
            if series.bound is None:
                families[series.metric].samples.append(Sample(series.sample, dict(series.labels), value))
            else:
                buckets[series.metric, series.labels].append((series.bound, value))
        for (name, labels), counts in buckets.items():
            families[name].samples += self._cumulative(name, labels, sorted(counts))
        return list(families.values())

    def _cumulative(
        self, name: str, labels: tuple[tuple[str, str], ...], counts: list[tuple[float, float]]
    ) -> Iterator[Sample]:
        so_far = 0.0
        plain = dict(labels)
        for slot, (bound, count) in enumerate(counts):
            so_far += count
            le = {**plain, "le": floatToGoString(bound)}  # type: ignore[no-untyped-call]  # it bears no annotations
            yield Sample(f"{name}_bucket", le, so_far, None, self._exemplar(name, plain, slot))
        yield Sample(f"{name}_count", plain, so_far)

    def _exemplar(self, name: str, labels: dict[str, str], slot: int) -> Exemplar | None:
        if not self._exemplars:
            return None
        found = self._exemplars.get((name, tuple(sorted(labels.values())), slot))
        if found is None:
            return None
        trace, span, seconds, at = found
        return Exemplar({"trace_id": trace, "span_id": span}, seconds, at)

    def _read_exemplars(self, path: Path) -> None:
        try:
            noted = json.loads(path.read_bytes())
        except FileNotFoundError:
            return
        for metric, labels, slot, *rest in noted:
            place = metric, tuple(sorted(labels)), slot
            known = self._exemplars.get(place)
            if known is None or known[3] <= rest[3]:
                self._exemplars[place] = rest

    def _added_up(self, kind: str) -> dict[str, float]:
        totals = dict(self._dead[kind])
        for path in self._folder.glob(f"{kind}_*.db"):
            for key, value in _values(path):
                totals[key] = totals.get(key, 0.0) + value
        return totals

    def _series(self, key: str) -> _Series:
        series = self._keys.get(key)
        if series is None:
            metric, sample, labels, text = json.loads(key)
            bound = labels.pop("le", None)
            found = tuple(sorted(labels.items()))
            series = self._keys[key] = _Series(metric, sample, found, None if bound is None else float(bound), text)
        return series


def _values(path: Path) -> Iterator[tuple[str, float]]:
    """The keys and values of a file; none while its process has only just made it."""
    try:
        if os.path.getsize(path) == 0:  # noqa: PTH202 - no second object for each file of each scrape
            return
        found = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # as above
        yield from ((key, value) for key, value, _, _ in found)
    except FileNotFoundError:  # its process was buried meanwhile
        return
