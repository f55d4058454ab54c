"""What the trials of one or more results files say, put together: medians, ranges, ratios."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.entrants import OURS
from bench.figures import Summary, ratio, summarize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Trial = dict[str, Any]


class Metric(NamedTuple):
    """One figure of a case; `more` if more of it is better."""

    key: str
    title: str
    more: bool


_RATE = Metric("jobs_per_second", "jobs/s", more=True)
_CPU = Metric("cpu_us", "CPU of workers and servers, µs a job", more=False)
_RSS = Metric("rss_mb", "resident memory of the workers, MB", more=False)
_PSS = Metric("pss_mb", "the same with shared pages split (PSS), MB", more=False)
_CLIENT = Metric("client_us", "CPU of the sender, µs a job", more=False)

METRICS: dict[str, tuple[Metric, ...]] = {
    "enqueue": (_RATE, _CLIENT),
    "bulk": (_RATE, _CLIENT),
    "drain": (_RATE, _CPU, _RSS, _PSS),
    "sleep": (_RATE, _CPU),
    "latency": (Metric("p50_ms", "p50, ms", more=False), Metric("p99_ms", "p99, ms", more=False)),
    "idle": (
        Metric("worker_s_per_minute", "CPU of the workers, s a minute", more=False),
        Metric("server_s_per_minute", "CPU of the servers, s a minute", more=False),
        _RSS,
    ),
    "delayed": (
        Metric("late_ms", "the due one starts late by, ms", more=False),
        Metric("growth_rss_mb", "growth of the workers, MB", more=False),
    ),
    "ledger": (_RATE, _CPU),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one variant of a case.

    Attributes:
        summary: None when no trial has the figure (the due message that never started).
        ratio: How many times better ours is, by the metric's direction; None where ours was not measured.
        recorded: Whether the peer's database had every run, in every trial that asked.
    """

    peer: str
    variant: str
    setting: str
    summary: Summary | None
    ratio: float | None
    recorded: bool


class Outcome:
    """The trials of some results files of one machine.

    Raises:
        ValueError: The files are from different machines.
    """

    def __init__(self, files: Sequence[dict[str, Any]]) -> None:
        if any(file["machine"] != files[0]["machine"] for file in files):
            raise ValueError("the files were made on different machines: report each on its own")
        self.head = files[0]
        self.scale = min(float(file["scale"]) for file in files)
        self.trials: list[Trial] = [trial for file in files for trial in file["trials"]]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Outcome:
        """Read the files."""
        return cls([json.loads(path.read_text(encoding="utf-8")) for path in paths])

    @property
    def failures(self) -> list[Trial]:
        """Trials without figures."""
        return [trial for trial in self.trials if "error" in trial]

    def cases(self) -> list[str]:
        """Names of the cases that were measured, in the order of METRICS."""
        seen = {trial["case"] for trial in self.trials if "figures" in trial}
        return [case for case in METRICS if case in seen]

    def rows(self, case: str, metric: Metric) -> list[Row]:
        """One row for each variant and peer, in the order measured."""
        groups: dict[tuple[str, str], list[Trial]] = {}
        for trial in self.trials:
            if trial["case"] == case and "figures" in trial:
                groups.setdefault((trial["variant"], trial["peer"]), []).append(trial)
        summaries = {key: _summary(trials, metric) for key, trials in groups.items()}
        return [_row(key, groups[key], summaries, metric) for key in groups]

    def largest(self, case: str, metric: Metric) -> list[Row]:
        """Of every peer the row with the most jobs, the best first."""
        best: dict[str, Row] = {}
        for row in self.rows(case, metric):
            if row.peer not in best or _size(row.variant) > _size(best[row.peer].variant):
                best[row.peer] = row
        measured = [row for row in best.values() if row.summary is not None]
        return sorted(measured, key=lambda row: row.summary.median if row.summary else 0.0, reverse=metric.more)


def _summary(trials: list[Trial], metric: Metric) -> Summary | None:
    values = [(float(trial["figures"][metric.key]), float(trial["foreign"])) for trial in trials if _has(trial, metric)]
    return summarize(values) if values else None


def _has(trial: Trial, metric: Metric) -> bool:
    return trial["figures"].get(metric.key) is not None


def _row(
    key: tuple[str, str], trials: list[Trial], summaries: dict[tuple[str, str], Summary | None], metric: Metric
) -> Row:
    variant, peer = key
    theirs, ours = summaries[key], _ours(variant, summaries)
    better = None
    if theirs is not None and ours is not None and peer != OURS:
        better = ratio(ours.median, theirs.median) if metric.more else ratio(theirs.median, ours.median)
    recorded = all(trial["figures"].get("recorded") == trial["sizes"].get("count") for trial in trials)
    return Row(peer, variant, trials[-1]["setting"], theirs, better, recorded)


def _ours(variant: str, summaries: dict[tuple[str, str], Summary | None]) -> Summary | None:
    """Ours in the same variant, else, for a slow peer that got fewer jobs, in the smallest of ours above it."""
    if (variant, OURS) in summaries:
        return summaries[variant, OURS]
    larger = [name for name, peer in summaries if peer == OURS and 0 <= _size(variant) < _size(name)]
    return summaries[min(larger, key=_size), OURS] if larger else None


def _size(variant: str) -> int:
    """A variant that is a number of jobs, as that number; any other -1."""
    digits = variant.replace(",", "")
    return int(digits) if digits.isdigit() else -1
