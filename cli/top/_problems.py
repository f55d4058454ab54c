"""What is wrong, the worst first: one sentence each, with the command that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cli._output import counted
from cli._times import clock, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from cli.top._view import View

    _Rows = Sequence[Mapping[str, Any]]

_NAMES = {"api": "the API", "broker": "the broker", "postgres": "Postgres"}
_MOST_NAMES = 3


class Problem(NamedTuple):
    """`urgent` is what an alert would page for; the rest can wait for the morning."""

    urgent: bool
    text: str
    command: str


def problems(view: View) -> tuple[Problem, ...]:
    """All that is wrong: urgent before the rest, causes before what follows from them."""
    found = [
        *_down(view.down, view.since, view.moment),
        *_processes(view.workers, view.scheduler, view.schedules),
        *_queues(view.queues),
        *_schedules(view.schedules),
        *_runs(view.runs),
        *_issues(view.critical),
        *_dead(view.jobs),
    ]
    return tuple(sorted(found, key=lambda problem: not problem.urgent))


def _down(down: Mapping[str, str], since: Mapping[str, datetime], now: datetime) -> Iterator[Problem]:
    for name, reason in down.items():
        first = since.get(name, now)
        told = f" since {clock(first, now)} UTC" if first < now else ""
        yield Problem(True, f"{_NAMES.get(name, name)} does not answer{told}: {reason}", "callboard check")


def _processes(workers: _Rows, scheduler: str | None, schedules: _Rows) -> Iterator[Problem]:
    if scheduler is None:  # the ledger is down, and knows
        return
    if not [worker for worker in workers if worker["state"] != "silent"]:
        yield Problem(True, "no worker is alive", "callboard worker")
    if scheduler != "leading" and any(schedule["enabled"] for schedule in schedules):
        told = "no scheduler runs" if scheduler == "away" else "no scheduler leads"
        yield Problem(True, f"{told}: no cadence is called", "callboard scheduler")
    silent = [f"{worker['host']}:{worker['pid']}" for worker in workers if worker["state"] == "silent"]
    if silent:
        yield Problem(False, f"silent: {_named(silent, 'worker')}", "callboard workers")


def _queues(queues: _Rows) -> Iterator[Problem]:
    for queue in queues:
        yield from _queue(queue["queue"], queue)


def _queue(name: str, queue: Mapping[str, Any]) -> Iterator[Problem]:
    waits = bool(queue["ready"])
    oldest, promise = queue["oldest_seconds"], queue["promise_seconds"]
    late = oldest is not None and promise is not None and oldest > promise
    age = f"oldest {span(oldest)}, promised {span(promise)}" if late else ""
    if queue["paused"]:
        told = f"queue {name} is paused, {queue['ready']} wait" + (f", {age}" if late else "")
        yield Problem(late, told, f"callboard queues resume {name}")
    elif waits and queue["workers"] == 0:
        yield Problem(True, f"no worker takes queue {name}, {queue['ready']} wait", "callboard worker")
    elif late:
        yield Problem(True, f"queue {name} is late: {age}", f"callboard runs --queue {name} --state running")
    if queue["orphaned"]:
        told = f"queue {name}: dead workers hold {counted(queue['orphaned'], 'message')}"
        yield Problem(False, told, "callboard workers")


def _schedules(schedules: _Rows) -> Iterator[Problem]:
    late = [schedule for schedule in schedules if schedule["overdue"]]
    for urgent in (True, False):
        names = [schedule["schedule"] for schedule in late if (schedule["tier"] == "page") == urgent]
        if names:
            yield Problem(urgent, f"overdue: {_named(names, 'schedule')}", f"callboard runs --job {names[0]}")
    active = [schedule for schedule in schedules if schedule["enabled"] and schedule not in late]
    failing = [one["schedule"] for one in active if one["consecutive_failures"]]
    if failing:
        yield Problem(False, f"failed last time: {_named(failing, 'schedule')}", f"callboard runs --job {failing[0]}")


def _runs(runs: _Rows) -> Iterator[Problem]:
    for run in runs:
        limit = run["time_limit_seconds"]
        if limit is not None and run["seconds"] > limit:
            told = f"{run['job']} runs for {span(run['seconds'])}, its limit is {span(limit)}"
            yield Problem(False, told, f"callboard run show {run['id']}")


def _issues(critical: int) -> Iterator[Problem]:
    if critical:
        told = "1 critical issue is open" if critical == 1 else f"{critical} critical issues are open"
        yield Problem(False, told, "callboard issues list severity:critical")


def _dead(jobs: _Rows) -> Iterator[Problem]:
    count = sum(job["dead"] for job in jobs)
    if count:
        letters = "1 dead letter waits" if count == 1 else f"{count} dead letters wait"
        yield Problem(False, letters, "callboard dead-letters list")


def _named(names: Sequence[str], what: str) -> str:
    """`schedule a`, `5 schedules: a, b, c ...`."""
    if len(names) == 1:
        return f"{what} {names[0]}"
    more = " ..." if len(names) > _MOST_NAMES else ""
    return f"{len(names)} {what}s, {', '.join(names[:_MOST_NAMES])}{more}"
