"""One run: what happened to it, why it waits, and what can be done about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from callboard.accounts.permissions import Permission, may
from callboard.errors import NotFound
from callboard.job import all_jobs
from callboard.operations import letters, runs
from callboard.settings import get_settings
from callboard.views import story
from console import deps
from console._words import short
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries, _timeline
from console.pages._kit import RUNS, Back, Operator, Reader, Told, Why, act, show

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from callboard.views.story import Story

router = APIRouter(include_in_schema=False)


@router.get(f"{RUNS}/runs")
def listing(_me: Reader) -> Response:
    """The list of runs is on the dashboard."""
    return RedirectResponse(f"{RUNS}#runs", 303)


@router.get(RUNS + "/runs/{run_id}")
def detail(request: Request, ledger: Ledger, me: Reader, run_id: str) -> Response:
    """Everything that is known of one run."""
    try:
        told = story.tell(ledger, run_id, now=datetime.now(UTC))
    except NotFound:
        if not _is_whole(run_id):
            raise
        return show(request, ledger, "run_awaited.html", status=404, run_id=run_id)
    frame = {"back": "", "run_path": f"{RUNS}/runs", "act_path": f"{RUNS}/runs/{told.run['id']}"}
    acts = _queries.acts_on(ledger, "run", told.run["id"])
    return show(request, ledger, "run.html", **frame, **facts(told), may_act=may(me, Permission.BOARD_WRITE), acts=acts)


def _is_whole(run_id: str) -> bool:
    try:
        return bool(UUID(run_id))
    except ValueError:
        return False


def facts(told: Story) -> dict[str, object]:
    """What the page of a run shows, for operators and for a team."""
    declared = all_jobs().get(told.run["job"])
    return {
        "story": told,
        "run": told.run,
        "timeline": _timeline.draw(told),
        "trace": trace_link(told.run),
        "spec": None if declared is None else declared.spec,
    }


def trace_link(run: RowMapping) -> str:
    """Where the run's trace is shown; empty without one, or without `CALLBOARD_TRACE_URL`."""
    template = get_settings().trace_url
    return template.replace("{trace_id}", run["trace_id"]) if template and run["trace_id"] else ""


@router.post(RUNS + "/runs/{run_id}/cancel")
def cancel(request: Request, _me: Operator, run_id: UUID, why: Why = "", back: Back = RUNS) -> Response:
    """Cancel it."""

    def do() -> Told:
        answer = runs.cancel(run_id, who=deps.who(request), why=why)
        if answer == "cancelled":
            return Told(f"Run {short(run_id)} is cancelled; it never starts.")
        return Told(f"Run {short(run_id)} was asked to stop; it ends when its job looks.")

    return act(back, do)


@router.post(RUNS + "/runs/{run_id}/replay")
def replay(
    request: Request, _me: Operator, run_id: UUID, letter: Annotated[int, Form()], why: Why = "", back: Back = RUNS
) -> Response:
    """Replay the dead letter that the run left."""

    def do() -> Told:
        made = letters.replay(letter, who=deps.who(request), why=why)
        return Told(f"Run {short(run_id)} is replayed.", f"{RUNS}/runs/{made.id}", f"Show run {short(made.id)}")

    return act(back, do)


@router.post("/admin/jobs/{job}/again")
def again(request: Request, _me: Operator, job: str, why: Why = "", back: Back = RUNS) -> Response:
    """Run a job that takes no arguments once more."""

    def do() -> Told:
        made = runs.trigger(job, who=deps.who(request), why=why)
        return Told(f"{job} was asked for.", f"{RUNS}/runs/{made.id}", f"Show run {short(made.id)}")

    return act(back, do)
