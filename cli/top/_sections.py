"""The five tables: their columns, and the orders they can be sorted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from cli import _times, runs
from cli._ids import short
from cli._output import Cell, Column, Row, counts, state
from observability.snapshot import POSTGRES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.top._view import View

    Key = Callable[[Row], Any]


class Sort(NamedTuple):
    """An order, by its name; what is small stands first."""

    name: str
    key: Key


@dataclass(frozen=True)
class Section:
    """One table of the screen.

    Attributes:
        name: Its title.
        rows: Where they are in a view.
        columns: All of them, the last of which may be cut.
        sorts: The orders, the first one unless people ask for another.
        empty: What is said when there is no row.
        gives_way: Titles of the columns that a narrow terminal does without, the first one first.
        needs: The sources without which it knows nothing.
        total: How many rows there are, where the view does not hold all of them.
    """

    name: str
    rows: Callable[[View], list[dict[str, Any]]]
    columns: Sequence[Column]
    sorts: Sequence[Sort]
    empty: str
    gives_way: tuple[str, ...] = ()
    needs: tuple[str, ...] = (POSTGRES,)
    total: Callable[[View], int | None] = lambda _: None


def _number(title: str, name: str, *, keep: bool = False) -> Column:
    return Column(title, lambda row: _count(row[name]), justify="right", keep=keep)


def _count(value: int | None) -> Cell:
    return "?" if value is None else str(value) if value else Text("0", style="dim")


def _age(seconds: float | None) -> str:
    return "?" if seconds is None else _times.short_span(seconds) if seconds else ""


def _rate(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}" if value else ""


def _took(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else _times.short_span(seconds)


def _marked(text: str, wrong: bool, style: str = "bold red") -> Cell:  # noqa: FBT001 - the word that decides the mark
    """The text with a sign before it where something is wrong: never by colour alone."""
    return Text(f"!{text}", style=style) if wrong else text


def lateness(queue: Row) -> float:
    """How much of its promise the oldest message of a queue has used up; 1 is all of it."""
    oldest, promise = queue["oldest_seconds"], queue["promise_seconds"]
    return oldest / promise if oldest and promise else 0.0


def _badness(queue: Row) -> tuple[Any, ...]:
    # Rounded: rows of queues that are about as late must not change places at every look.
    return -round(lateness(queue), 1), not queue["paused"], -(queue["ready"] or 0), queue["queue"]


def _oldest(queue: Row) -> Cell:
    age = _age(queue["oldest_seconds"])
    promised = "" if queue["promise_seconds"] is None else f"/{_times.short_span(queue['promise_seconds'])}"
    return _marked(f"{age}{promised}" if age else "", lateness(queue) > 1)


def _workers_of(queue: Row) -> Cell:
    told = "?" if queue["workers"] is None else str(queue["workers"])
    return _marked(told, queue["workers"] == 0 and bool(queue["ready"]))


def _growth(queue: Row) -> str:
    growth = queue["growth_per_second"]
    return "?" if growth is None else f"{growth:+.1f}" if abs(growth) >= 0.05 else ""  # noqa: PLR2004 - rounds to 0.1


def _eta(queue: Row) -> Cell:
    if not queue["ready"]:
        return ""
    if queue["eta_seconds"] is None:
        return "stands" if queue["drain_per_second"] == 0 else "?"
    return _times.short_span(queue["eta_seconds"])


def _paused(queue: Row) -> Cell:
    return "?" if queue["paused"] is None else state("paused") if queue["paused"] else ""


QUEUES = Section(
    "queues",
    lambda view: view.queues,
    (
        Column("", lambda queue: queue["queue"], keep=True),
        _number("ready", "ready", keep=True),
        _number("claimed", "claimed"),
        _number("delayed", "delayed"),
        _number("dead", "dead"),
        Column("oldest/promise", _oldest, justify="right"),
        Column("workers", _workers_of, justify="right"),
        Column("+-/s", _growth, justify="right"),
        Column("drain/s", lambda queue: _rate(queue["drain_per_second"]), justify="right"),
        Column("eta", _eta, justify="right"),
        Column("state", _paused),
    ),
    (
        Sort("worst first", _badness),
        Sort("longest first", lambda queue: (-(queue["ready"] or 0), queue["queue"])),
        Sort("busiest first", lambda queue: (-(queue["drain_per_second"] or 0), queue["queue"])),
        Sort("by name", lambda queue: queue["queue"]),
    ),
    "no queue is declared: CALLBOARD_ACTORS names the modules with the jobs",
    gives_way=("+-/s", "claimed", "delayed", "drain/s", "workers"),
    needs=(),
)


def _failing(job: Row) -> tuple[Any, ...]:
    return -(job["failures_per_second"] or 0), -job["dead"], -job["failed"], job["job"]


def _slow(job: Row) -> tuple[Any, ...]:
    return -(job["mean_seconds"] or 0), -(job["overall_mean_seconds"] or 0), job["job"]


JOBS = Section(
    "jobs",
    lambda view: view.jobs,
    (
        Column("", lambda job: job["job"], keep=True),
        Column("done/s", lambda job: _rate(job["per_second"]), justify="right", keep=True),
        Column(
            "fail/s",
            lambda job: _marked(_rate(job["failures_per_second"]), bool(job["failures_per_second"])),
            justify="right",
            keep=True,
        ),
        Column("mean", lambda job: _took(job["mean_seconds"]), justify="right"),
        Column("ever", lambda job: _took(job["overall_mean_seconds"]), justify="right"),
        Column("running", lambda job: _age(job["oldest_running_seconds"]), justify="right"),
        _number("ended", "attempts"),
        _number("failed", "failed"),
        _number("dead", "dead"),
        Column("queue", lambda job: job["queue"]),
    ),
    (
        Sort("busiest first", lambda job: (-(job["per_second"] or 0), -job["attempts"], job["job"])),
        Sort("failing first", _failing),
        Sort("slowest first", _slow),
    ),
    "no job is declared: CALLBOARD_ACTORS names the modules with the jobs",
    gives_way=("ever", "ended", "running", "failed", "dead"),
)


def _for(run: Row) -> Cell:
    limit = run["time_limit_seconds"]
    return _marked(_times.span(run["seconds"]), limit is not None and run["seconds"] > limit)


def _doing(run: Row) -> Cell:
    told = runs.progress_of(run["progress"]) if run["progress"] else counts(run["counts"])
    return f"is being cancelled  {told}" if run["cancelling"] else told


RUNS = Section(
    "running",
    lambda view: view.runs,
    (
        Column("", lambda run: run["job"], keep=True),
        Column("run", lambda run: short(run["id"])),
        Column("for", _for, justify="right", keep=True),
        _number("try", "attempt"),
        Column("queue", lambda run: run["queue"]),
        Column("progress", _doing),
    ),
    (
        Sort("oldest first", lambda run: -run["seconds"]),
        Sort("newest first", lambda run: run["seconds"]),
        Sort("by job", lambda run: (run["job"], -run["seconds"])),
    ),
    "nothing runs for longer than a moment",
    gives_way=("queue", "try", "run"),
    total=lambda view: view.running,
)


def _used(schedule: Row) -> float:
    if not schedule["enabled"] or schedule["max_age_seconds"] is None:
        return -1.0
    return float(schedule["age_seconds"] / schedule["max_age_seconds"])


def _state_of(schedule: Row) -> Cell:
    if not schedule["enabled"]:
        return state("paused")
    if schedule["overdue"]:
        return Text("!overdue", style="bold red")
    failures = schedule["consecutive_failures"]
    return Text(f"!failed {failures}x", style="yellow") if failures else ""


def _success(schedule: Row) -> str:
    ago = _times.span(schedule["age_seconds"])
    limit = schedule["max_age_seconds"]
    told = ago if schedule["last_success_at"] is not None else f"never, {ago}"
    return told + ("" if limit is None else f"/{_times.span(limit)}")


def _next(schedule: Row) -> str:
    return "" if schedule["next_in_seconds"] is None else _times.short_span(max(0.0, schedule["next_in_seconds"]))


SCHEDULES = Section(
    "schedules",
    lambda view: view.schedules,
    (
        Column("", lambda schedule: schedule["schedule"], keep=True),
        Column("state", _state_of, keep=True),
        Column("success/allowed", _success, justify="right"),
        Column("next in", _next, justify="right"),
        Column("took", lambda schedule: _took(schedule["last_duration_seconds"]), justify="right"),
        Column("owner", lambda schedule: schedule["owner"]),
        Column("cadence", lambda schedule: schedule["cadence"]),
    ),
    (
        Sort("overdue first", lambda schedule: (-_used(schedule), schedule["schedule"])),
        Sort("next first", lambda schedule: (schedule["next_in_seconds"] is None, schedule["next_in_seconds"] or 0)),
        Sort("by name", lambda schedule: schedule["schedule"]),
    ),
    "no job has a cadence",
    gives_way=("owner", "took", "next in"),
)
WORKERS = Section(
    "workers",
    lambda view: view.workers,
    (
        Column("", lambda worker: f"{worker['host']}:{worker['pid']}", keep=True),
        Column("state", lambda worker: _marked(worker["state"], wrong=worker["state"] == "silent"), keep=True),
        Column("busy", lambda worker: f"{worker['busy']}/{worker['threads']}", justify="right", keep=True),
        Column("up", lambda worker: _times.short_span(worker["up_seconds"]), justify="right"),
        Column("heard", lambda worker: _times.short_span(worker["heard_seconds"]), justify="right"),
        Column("version", lambda worker: worker["version"]),
        Column("queues", lambda worker: " ".join(worker["queues"])),
    ),
    (
        Sort("silent first", lambda worker: (worker["state"] != "silent", -worker["heard_seconds"])),
        Sort("busiest first", lambda worker: (-worker["busy"] / max(worker["threads"], 1), worker["host"])),
        Sort("newest first", lambda worker: worker["up_seconds"]),
    ),
    "no worker is alive: start some with `callboard worker`",
    gives_way=("version", "heard"),
)
SECTIONS = (QUEUES, JOBS, RUNS, SCHEDULES, WORKERS)
