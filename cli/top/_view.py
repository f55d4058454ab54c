"""What the looks say: a row for each thing, rates between the first look and the last one. Pure: asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli.board._port import API
from cli.top._problems import Problem, problems
from observability.snapshot import BROKER, POSTGRES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from callboard.views.look import Ended, Look
    from cli._output import Row
    from observability.snapshot import JobFacts, QueueFacts, ScheduleFacts


@dataclass(frozen=True)
class View:
    """One screen's worth. Rates are per second, over `seconds`; None is not known.

    `since` is when each source that is down was first found so.
    """

    moment: datetime
    seconds: float
    queues: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    workers: list[dict[str, Any]]
    running: int | None
    scheduler: str | None
    critical: int
    down: Mapping[str, str]
    since: Mapping[str, datetime]
    problems: tuple[Problem, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing needs anybody now; a warning does not."""
        return not any(problem.urgent for problem in self.problems)


def view(looks: Sequence[Look], since: Mapping[str, datetime]) -> View:
    """The newest of `looks`, with rates against the oldest one."""
    first, last = looks[0], looks[-1]
    rates = _Rates(first, last)
    queues = [_queue(queue, rates) for queue in last.snapshot.queues]
    schedules = [_schedule(one, last.moment) for one in last.snapshot.schedules]
    jobs = [_job(one, rates) for one in last.snapshot.jobs]
    limits, ledger = {job["job"]: job["time_limit_seconds"] for job in jobs}, last.ledger
    runs = [] if ledger is None else [_run(run, limits) for run in ledger.running]
    workers = [] if ledger is None else [_worker(worker, last.moment) for worker in ledger.workers]
    made = View(
        moment=last.moment,
        seconds=rates.seconds,
        queues=queues,
        jobs=jobs,
        runs=runs,
        schedules=schedules,
        workers=workers,
        running=None if ledger is None else int(ledger.running[0]["all_of_them"]) if ledger.running else 0,
        scheduler=None if ledger is None else ledger.scheduler,
        critical=0 if ledger is None else ledger.critical,
        down={name: last.down[name] for name in (API, BROKER, POSTGRES) if name in last.down},
        since=since,
    )
    return replace(made, problems=problems(made))


class _Rates:
    """Differences between two looks, per second; None without two that know."""

    def __init__(self, first: Look, last: Look) -> None:
        self.seconds = last.at - first.at
        self._ready = {queue.queue: queue.ready for queue in first.snapshot.queues}
        known = first.ledger is not None and last.ledger is not None and self.seconds > 0
        self._before: Mapping[str, Ended] | None = first.ledger.ended if known and first.ledger else None
        self.now: Mapping[str, Ended] = {} if last.ledger is None else last.ledger.ended

    def trend(self, queue: str, ready: int | None) -> float | None:
        """By how many messages a second the queue grows."""
        before = self._ready.get(queue)
        return None if ready is None or before is None or self.seconds <= 0 else (ready - before) / self.seconds

    def of_job(self, job: str) -> tuple[float | None, float | None, float | None]:
        """Attempts and failures a second, and the mean run time of these attempts."""
        now = self.now.get(job)
        if self._before is None:
            return None, None, None
        if now is None:
            return 0.0, 0.0, None
        old = self._before.get(job, now._replace(attempts=0, failed=0, retried=0, seconds=0.0))
        ended = max(0, now.attempts - old.attempts)
        failed = max(0, now.failed + now.retried - old.failed - old.retried)
        mean = (now.seconds - old.seconds) / ended if ended else None
        return ended / self.seconds, failed / self.seconds, mean

    def of_queue(self, queue: str) -> float | None:
        """Attempts a second that end on this queue."""
        if self._before is None:
            return None
        return sum(self.of_job(job)[0] or 0.0 for job, ended in self.now.items() if ended.queue == queue)


def _queue(facts: QueueFacts, rates: _Rates) -> dict[str, Any]:
    drain = rates.of_queue(facts.queue)
    return {
        "queue": facts.queue,
        "ready": facts.ready,
        "claimed": facts.claimed,
        "delayed": facts.delayed,
        "orphaned": facts.orphaned,
        "dead": facts.dead,
        "oldest_seconds": facts.oldest_ready_age_seconds,
        "promise_seconds": facts.max_age_seconds,
        "workers": facts.consumers,
        "paused": facts.paused,
        "growth_per_second": rates.trend(facts.queue, facts.ready),
        "drain_per_second": drain,
        "eta_seconds": None if facts.ready is None or not drain else facts.ready / drain,
    }


def _job(facts: JobFacts, rates: _Rates) -> dict[str, Any]:
    ended, failed, mean = rates.of_job(facts.job)
    total = rates.now.get(facts.job)
    return {
        "job": facts.job,
        "queue": facts.queue,
        "per_second": ended,
        "failures_per_second": failed,
        "mean_seconds": mean,
        "overall_mean_seconds": total.seconds / total.attempts if total and total.attempts else None,
        "attempts": total.attempts if total else 0,
        "failed": total.failed if total else 0,
        "dead": facts.dead_letters,
        "oldest_running_seconds": facts.oldest_running_age_seconds,
        "time_limit_seconds": facts.time_limit_seconds,
    }


def _run(run: Row, limits: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        "id": run["id"],
        "job": run["job"],
        "queue": run["queue"],
        "attempt": run["attempt"],
        "seconds": max(0.0, run["seconds"]),
        "time_limit_seconds": limits.get(run["job"]),
        "progress": run["progress"],
        "counts": run["counts"],
        "cancelling": run["cancel_requested_at"] is not None,
    }


def _schedule(facts: ScheduleFacts, moment: datetime) -> dict[str, Any]:
    age = (moment - (facts.last_success_at or facts.created_at)).total_seconds()
    return {
        "schedule": facts.schedule,
        "cadence": facts.cadence,
        "enabled": facts.enabled,
        "last_success_at": facts.last_success_at,
        "age_seconds": age,
        "max_age_seconds": facts.max_age_seconds,
        "overdue": bool(facts.enabled and facts.max_age_seconds is not None and age > facts.max_age_seconds),
        "next_run_at": facts.next_run_at,
        "next_in_seconds": None if facts.next_run_at is None else (facts.next_run_at - moment).total_seconds(),
        "last_duration_seconds": facts.last_duration_seconds,
        "consecutive_failures": facts.consecutive_failures,
        "tier": facts.tier,
        "owner": facts.owner,
    }


def _worker(worker: Row, moment: datetime) -> dict[str, Any]:
    # Of one clock, the database's: ours may differ.
    heard = float(worker["seconds_since_heartbeat"])
    silent = heard > (worker["lease_until"] - worker["heartbeat_at"]).total_seconds()
    return {
        "id": worker["id"],
        "host": worker["host"],
        "pid": worker["pid"],
        "state": "silent" if silent else worker["state"],
        "busy": worker["busy"],
        "threads": worker["threads"],
        "up_seconds": (moment - worker["started_at"]).total_seconds(),
        "heard_seconds": max(0.0, heard),
        "version": worker["version"],
        "queues": list(worker["queues"]),
    }
