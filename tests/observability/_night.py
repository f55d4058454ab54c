"""The night of _world.py, minute by minute: how messages arrive, wait, run, fail and pile up."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.observability._world import (
    END,
    EVERY_JOB,
    HOSTS,
    JOBS,
    QUEUES,
    SLOS,
    START,
    THREADS,
    WORKER_DIES,
    Job,
    broken,
    hosts,
    traffic,
    wobble,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ATTEMPTS = 4


@dataclass
class Night:
    """Everything that was counted up to `at`, and the state at `at`."""

    step: int
    at: float = START
    ready: dict[str, float] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0.0))
    age: dict[str, float] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0.0))
    counts: dict[tuple[str, ...], float] = field(default_factory=lambda: defaultdict(float))
    dead: dict[str, float] = field(default_factory=lambda: dict.fromkeys((job.name for job in EVERY_JOB), 0.0))
    busy: float = 0.0
    wait: dict[str, float] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0.05))
    rates: dict[str, float] = field(default_factory=dict)
    histograms: dict[tuple[object, ...], list[float]] = field(default_factory=dict)
    shares: dict[tuple[object, ...], float] = field(default_factory=lambda: defaultdict(float))
    events: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {slo: [] for slo in SLOS})

    def pass_time(self) -> Iterator[Night]:
        """Itself, once every step."""
        while self.at < END:
            self.at += self.step
            self._serve()
            self._judge()
            yield self

    def _serve(self) -> None:
        wanted = {job: self._arriving(job) for job in EVERY_JOB}
        need = sum((rate / (1 - broken(job, self.at) * 0.8)) * job.seconds for job, rate in wanted.items())
        owed = sum(self.ready[job.queue] * job.seconds / self._jobs_of(job.queue) for job in JOBS) / 60
        room = THREADS * len(hosts(self.at)) * (0.75 if self._struggling() else 1.0)
        share = min(1.0, room / (need + owed))
        self.busy = min(float(THREADS * len(hosts(self.at))), need + owed)
        for job, rate in wanted.items():
            self._run(job, rate, share)
        for queue in QUEUES:
            self._age(queue, share)

    def _struggling(self) -> bool:
        return len(hosts(self.at)) < len(HOSTS)

    def _jobs_of(self, queue: str) -> int:
        return sum(job.queue == queue for job in JOBS)

    def _arriving(self, job: Job) -> float:
        return job.rate * traffic(self.at) * wobble(self.at, len(job.name)) if job in JOBS else job.rate

    def _run(self, job: Job, rate: float, share: float) -> None:
        extra = self.ready[job.queue] / 60 / max(1, self._jobs_of(job.queue)) if job in JOBS else 0.0
        served = (rate + extra) * (share if job in JOBS else 1.0)
        if job in JOBS:
            self.ready[job.queue] = max(0.0, self.ready[job.queue] + (rate - served) * self.step)
        self.rates[job.name] = served
        bad = broken(job, self.at)
        lost = served * bad ** (MOST_ATTEMPTS - 1)
        self._count(job, rate, served, bad, lost)
        self.dead[job.name] += lost * self.step

    def _count(self, job: Job, rate: float, served: float, bad: float, lost: float) -> None:
        retried = served * bad
        ended = {"success": served * (1 - bad), "retry": retried, "failed": lost, "skipped": served * 0.003}
        if WORKER_DIES <= self.at < WORKER_DIES + 600:
            ended["shutdown"] = served * 0.01
            self._add("redelivered", job.name, rate=served * 0.01)
        for outcome, each in ended.items():
            self._add("attempts", job.name, outcome, rate=each)
        for result in ("success", "failed", "skipped"):
            self._add("finished", job.name, result, rate=ended[result])
        self._add("enqueued", job.name, "api" if job in JOBS else "schedule", rate=rate)
        self._add("enqueued", job.name, "retry", rate=retried)
        self._add("ran", job.name, rate=served * (1 + bad))

    def _add(self, *key: str, rate: float) -> None:
        self.counts[key] += rate * self.step

    def _age(self, queue: str, share: float) -> None:
        pace = sum(self.rates[job.name] for job in EVERY_JOB if job.queue == queue)
        due = self.ready[queue] / pace if pace and self.ready[queue] > 1 else 0.0
        self.age[queue] = min(due, self.age[queue] + self.step) if due else 0.0
        self.wait[queue] = max(0.02 / max(0.05, 1.02 - share) * wobble(self.at, len(queue)) ** 3, self.age[queue] * 0.9)

    def _judge(self) -> None:
        for slo, (_, queue) in SLOS.items():
            served = sum(self.rates[job.name] for job in JOBS if job.queue == queue)
            late = 1 / (1 + math.exp((QUEUES[queue] - self.wait[queue]) / QUEUES[queue] * 8))
            failed = max(broken(job, self.at) ** 2 for job in JOBS if job.queue == queue)
            bad = served * min(1.0, late + failed)
            self._add("slo", slo, "bad", rate=bad)
            self._add("slo", slo, "good", rate=served - bad)
            self.events[slo].append((bad, served))

    def error_ratio(self, slo: str, window: int) -> float:
        """Share of bad events in the last seconds; before the night, one in a thousand was bad."""
        steps = window // self.step
        known = self.events[slo][-steps:]
        before = steps - len(known)
        usual = known[0][1]
        bad = sum(bad for bad, _ in known) + before * usual * 0.001
        return bad / (sum(every for _, every in known) + before * usual)
