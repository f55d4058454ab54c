"""What runs where and when: jobs, schedules, queues, workers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, Request, Response

from callboard.errors import ArgumentsError, NotFound
from callboard.job import all_jobs
from callboard.operations import queues, schedules
from callboard.spec import spec_of
from callboard.views import overview, workers
from callboard.views import queues as queue_views
from callboard.views import schedules as schedule_views
from console import deps
from console._words import duration, short
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries
from console.pages._kit import RUNS, Back, Operator, Reader, Told, Why, act, show
from console.pages._listing import look
from console.pages.dashboard import chart

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from callboard.spec import JobSpec

router = APIRouter(include_in_schema=False)
_QUOTED = re.compile(r"(: |-> )'([^']*)'")
_HIDDEN = ("name", "fn", "cadence", "label", "owner", "runbook", "retry")


# Jobs


@router.get("/admin/jobs")
def jobs(request: Request, ledger: Ledger, _me: Reader, queue: str = "") -> Response:
    """Every job by queue, with what it has open."""
    return show(request, ledger, "jobs.html", groups=_groups(ledger, queue), queue=queue)


def _groups(ledger: Connection, queue: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    counts = _queries.by_job(ledger)
    declared = {name: spec_of(job) for name, job in all_jobs().items()}
    for name in sorted(set(counts) | set(declared)):
        spec, row = declared.get(name), counts.get(name, {})
        where = spec.queue if spec else row.get("queue") or ""
        if not queue or where == queue:
            groups.setdefault(where, []).append({"job": name, "spec": spec, **row, "name": name})
    return dict(sorted(groups.items()))


@router.get("/admin/jobs/{job}")
def job(request: Request, ledger: Ledger, _me: Reader, job: str) -> Response:
    """One job."""
    now = datetime.now(UTC)
    declared = all_jobs().get(job)
    spec = None if declared is None else spec_of(declared)
    schedule = next(iter(schedule_views.listing(ledger, now=now, everything=True, job=job, ticks=48)), None)
    counts = _queries.by_job(ledger).get(job, {})
    if spec is None and schedule is None and not counts:
        raise NotFound(f"No job is called {job!r}; the page of jobs lists them.")
    series = overview.series(ledger, now=now, window=timedelta(hours=6), job=job)
    return show(
        request,
        ledger,
        "job.html",
        job=job,
        spec=spec,
        options={} if spec is None else _options(spec),
        signature="" if spec is None else _signature(spec),
        schedule=schedule,
        counts=counts,
        took=_queries.durations(ledger, job),
        chart=chart(series, now),
        needs_arguments=spec is not None and _needs_arguments(spec),
        list=look(ledger, "runs", "/admin/background_jobs", q=_of_job(job), limit=20, counting=False),
    )


def _of_job(name: str) -> str:
    return f'job:"{name}"'


def _needs_arguments(spec: JobSpec) -> bool:
    return any(one.default is one.empty and one.kind < one.VAR_POSITIONAL for one in spec.signature.parameters.values())


def _signature(spec: JobSpec) -> str:
    """As it is written: annotations that are kept as text lose their quotes, defaults do not."""
    return spec.name + _QUOTED.sub(r"\1\2", str(spec.signature))


def _options(spec: JobSpec) -> dict[str, str]:
    """Its options as they were declared; those nobody set are left out."""
    plain = {name: getattr(spec, name) for name in spec.__dataclass_fields__ if name not in _HIDDEN}
    told = {name.replace("_", " "): _told(value) for name, value in plain.items() if value not in (None, "", (), 0)}
    return {"retry": str(spec.retry), **told}


def _told(value: object) -> str:
    """A number with a point is a duration in seconds."""
    return duration(value) if isinstance(value, float) else str(value)


# Schedules


@router.get("/admin/schedules")
def all_schedules(request: Request, ledger: Ledger, _me: Reader) -> Response:
    """Every recurring job: next fires, what became of its last ticks."""
    found = schedule_views.listing(ledger, now=datetime.now(UTC))
    return show(request, ledger, "schedules.html", schedules=found)


@router.post("/admin/schedules/{job}/pause")
def pause_schedule(
    request: Request, _me: Operator, job: str, why: Why = "", back: Back = "/admin/schedules"
) -> Response:
    """Stop it from firing."""

    def do() -> Told:
        schedules.pause(job, who=deps.who(request), why=why)
        return Told(f"{job} is paused; what is due meanwhile is skipped.")

    return act(back, do)


@router.post("/admin/schedules/{job}/resume")
def resume_schedule(
    request: Request, _me: Operator, job: str, why: Why = "", back: Back = "/admin/schedules"
) -> Response:
    """Let it fire again."""

    def do() -> Told:
        schedules.resume(job, who=deps.who(request), why=why)
        return Told(f"{job} fires again.")

    return act(back, do)


@router.post("/admin/schedules/{job}/run")
def run_now(request: Request, _me: Operator, job: str, why: Why = "", back: Back = "/admin/schedules") -> Response:
    """Ask for a run beside the schedule."""

    def do() -> Told:
        made = schedules.run_now(job, who=deps.who(request), why=why)
        return Told(f"{job} was asked for.", f"{RUNS}/runs/{made.id}", f"Show run {short(made.id)}")

    return act(back, do)


# Queues


@router.get("/admin/queues")
def all_queues(request: Request, ledger: Ledger, _me: Reader) -> Response:
    """What waits where."""
    return show(request, ledger, "queues.html", found=queue_views.listing())


@router.post("/admin/queues/{queue}/pause")
def pause_queue(request: Request, _me: Operator, queue: str, why: Why = "", back: Back = "/admin/queues") -> Response:
    """Hand out nothing of it."""

    def do() -> Told:
        queues.pause(queue, who=deps.who(request), why=why)
        return Told(f"Queue {queue} is paused; what runs goes on.")

    return act(back, do)


@router.post("/admin/queues/{queue}/resume")
def resume_queue(request: Request, _me: Operator, queue: str, why: Why = "", back: Back = "/admin/queues") -> Response:
    """Hand out its messages again."""

    def do() -> Told:
        queues.resume(queue, who=deps.who(request), why=why)
        return Told(f"Queue {queue} hands out its messages again.")

    return act(back, do)


@router.post("/admin/queues/{queue}/limit")
def limit_queue(
    request: Request,
    _me: Operator,
    queue: str,
    most: Annotated[str, Form(max_length=8)] = "",
    why: Why = "",
    back: Back = "/admin/queues",
) -> Response:
    """Bound how much of it is worked on at once."""

    def do() -> Told:
        bound = _bound(most)
        queues.limit(queue, bound, who=deps.who(request), why=why)
        return Told(f"Queue {queue} has no bound." if bound is None else f"At most {bound} of queue {queue} at once.")

    return act(back, do)


def _bound(given: str) -> int | None:
    if not given.strip():
        return None
    if not given.strip().isdigit() or int(given) < 1:
        raise ArgumentsError(f"limit={given!r} must be a whole number above 0, or empty for no bound.")
    return int(given)


# Workers


@router.get("/admin/workers")
def all_workers(request: Request, ledger: Ledger, _me: Reader, everything: str = "") -> Response:
    """Who works."""
    found = workers.listing(ledger, now=datetime.now(UTC), everything=bool(everything))
    return show(request, ledger, "workers.html", workers=found, everything=bool(everything))
