"""Six hours of every metric of the catalogue, with an incident, as OpenMetrics text and as blocks of Prometheus.

A metric without a line in `SHAPES` gets plain values by its kind: a new row of the catalogue has series at once.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from itertools import product
from typing import TYPE_CHECKING

from observability.catalogue import CATALOGUE, LABEL_VALUES, Metric
from tests.observability import _shapes
from tests.observability._night import Night
from tests.observability._world import END, EVERY_JOB, QUEUES, SCHEDULES, SLOS, START, hosts
from tests.support import missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Labels = tuple[tuple[str, str], ...]

INSTANCES = {"scheduler": ("scheduler:9193",), "exporter": ("exporter:9191",)}
_OF_JOB = {job.name: job.queue for job in EVERY_JOB}
_VALUES: dict[str, tuple[str, ...]] = {
    "queue": tuple(QUEUES),
    "actor": tuple(_OF_JOB),
    "schedule": tuple(schedule.name for schedule in SCHEDULES),
    "slo": tuple(SLOS),
    "error_type": ("ConnectionError", "TimeoutError", "ValueError"),
    "op": ("fetch", "ack", "enqueue"),
    "signal": ("spans", "exemplars"),
    "table": ("runs", "failures", "dead_letters"),
    "version": ("1.4.2", "1.4.3"),
    "revision": ("9f2c1d0", "b81e77a"),
    "python": ("3.11.2",),
    "dramatiq": ("2.2.1",),
}
#: Where a label means another thing than in other metrics.
_OWN: dict[str, tuple[str, ...]] = {
    "callboard_queue_depth state": LABEL_VALUES["state (queue)"],
    "callboard_workers state": LABEL_VALUES["state (workers)"],
    "callboard_slo_events_total result": LABEL_VALUES["result (SLO)"],
    "callboard_notifications_total result": LABEL_VALUES["result (notifications)"],
    "callboard_enqueued_total source": LABEL_VALUES["source (enqueued)"],
    "callboard_worker_restarts_total reason": ("crash", "memory"),
    "callboard_telemetry_dropped_total reason": ("queue_full", "budget"),
}


def write(path: Path, step: int = 60) -> None:
    """The whole history as OpenMetrics text, a sample every `step` seconds."""
    lines: dict[str, list[str]] = {}
    for night in Night(step).pass_time():
        for metric in CATALOGUE:
            for labels, value in _samples(metric, night):
                lines.setdefault(labels, []).append(f"{labels} {value:.10g} {night.at:.0f}\n")
        for labels, value in _shapes.beside_the_catalogue(night):
            lines.setdefault(labels, []).append(f"{labels} {value:.10g} {night.at:.0f}\n")
    for labels, value in _shapes.a_week_ago():
        lines[labels] = [
            f"{labels} {value:.10g} {at - 7 * 86400}\n" for at in range(START + step, END + 1, step)
        ] + lines[labels]
    with path.open("w", encoding="utf-8") as file:
        for samples in lines.values():
            file.writelines(samples)
        file.write("# EOF\n")


def blocks(folder: Path, step: int = 60) -> Path:
    """A data folder that a Prometheus can be started on."""
    if shutil.which("promtool") is None:
        missing("promtool")
    text, data = folder / "history.txt", folder / "data"
    write(text, step)
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, capture_output=True
    )
    text.unlink()
    return data


def _samples(metric: Metric, night: Night) -> Iterator[tuple[str, float]]:
    for labels in _label_sets(metric):
        value = _shapes.value(metric, labels, night)
        if value is None:
            continue
        given = (*labels.items(),)
        total, middle = value if isinstance(value, tuple) else (value, 1.0)
        for instance, own in _by_instance(metric, given, total, night):
            whole = (("job", f"callboard-{metric.process}"), ("instance", instance), *given)
            if metric.kind == "histogram":
                known = night.histograms.setdefault((metric.name, *whole), [0.0] * (len(metric.buckets) + 2))
                yield from _histogram(metric, whole, known, own, middle)
            else:
                yield _series(metric.name, whole), own


def _by_instance(metric: Metric, labels: Labels, total: float, night: Night) -> Iterator[tuple[str, float]]:
    """What is counted is counted by the hosts that live, in equal parts; a gauge is the same on each."""
    if metric.process != "worker" or metric.kind == "gauge":
        yield from ((instance, total) for instance in INSTANCES.get(metric.process) or hosts(night.at))
        return
    new, night.shares[metric.name, labels] = total - night.shares[metric.name, labels], total
    for instance in hosts(night.at):
        night.shares[metric.name, labels, instance] += new / len(hosts(night.at))
        yield instance, night.shares[metric.name, labels, instance]


def _label_sets(metric: Metric) -> Iterator[dict[str, str]]:
    names = list(metric.labels)
    choices = [_choices(metric, name) for name in names]
    for values in product(*choices):
        labels = dict(zip(names, values, strict=True))
        if _shapes.possible(labels, _OF_JOB):
            yield labels


def _choices(metric: Metric, name: str) -> tuple[str, ...]:
    own = _OWN.get(f"{metric.name} {name}")
    if own is not None:
        return own
    if "schedule" in metric.labels and name in _shapes.OF_SCHEDULE:
        return tuple(dict.fromkeys(_shapes.OF_SCHEDULE[name](schedule) for schedule in SCHEDULES))
    return _VALUES.get(name) or LABEL_VALUES.get(name) or ("some",)


def _histogram(
    metric: Metric, labels: Labels, known: list[float], count: float, middle: float
) -> Iterator[tuple[str, float]]:
    """Lognormal around `middle`; the new events are added to `known`: each bucket, then sum and count."""
    new = max(0.0, count - known[-1])
    for place, bound in enumerate(metric.buckets):
        known[place] += new * 0.5 * (1 + math.erf(math.log(bound / middle) / (0.7 * math.sqrt(2))))
        yield _series(f"{metric.name}_bucket", (*labels, ("le", f"{bound:g}"))), known[place]
    known[-2] += new * middle * 1.25
    known[-1] += new
    yield _series(f"{metric.name}_bucket", (*labels, ("le", "+Inf"))), known[-1]
    yield _series(f"{metric.name}_sum", labels), known[-2]
    yield _series(f"{metric.name}_count", labels), known[-1]


def _series(name: str, labels: Labels) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in labels)
    return f"{name}{{{pairs}}}"
