"""Issues: failures with one cause, folded into one row that somebody takes, resolves or silences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request, Response

from callboard.ledger import issues as ledger_issues
from callboard.operations import issues
from console import deps
from console.deps import Ledger  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries
from console.pages._kit import Back, Operator, Reader, Told, Why, act, show
from console.pages._listing import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping

router = APIRouter(include_in_schema=False)
PATH = "/admin/issues"
_HOUR = 3600
_WINDOW = timedelta(days=3)
#: How long an issue can be silenced for, in hours, with what people call it.
SILENCES = {1: "1 hour", 8: "8 hours", 24: "1 day", 168: "1 week"}


@router.get(PATH)
def listing(request: Request, ledger: Ledger, _me: Reader, q: str = "", cursor: str = "") -> Response:
    """The table."""
    return show(request, ledger, "issues.html", list=look(ledger, "issues", PATH, q=q, cursor=cursor))


@router.get(PATH + "/{issue_id}")
def detail(request: Request, ledger: Ledger, _me: Reader, issue_id: int) -> Response:
    """One issue."""
    now = datetime.now(UTC)
    issue = ledger_issues.get(ledger, issue_id)
    since = now - _WINDOW
    steps = _queries.failures_over_time(ledger, issue_id, since=since, step=_HOUR)
    return show(
        request,
        ledger,
        "issue.html",
        issue=issue,
        letters=ledger_issues.letters(ledger, issue_id),
        failures=ledger_issues.latest_failures(ledger, issue_id, limit=20),
        chart=_chart(steps, since, now),
        acts=_queries.acts_on(ledger, "issue", issue_id),
        silences=SILENCES,
        silenced=issue["silenced_until"] is not None and issue["silenced_until"] > now,
    )


def _chart(steps: Sequence[RowMapping], since: datetime, now: datetime) -> dict[str, object]:
    counts = {int(step["at"].timestamp()): step["failures"] for step in steps}
    first = int(since.timestamp()) // _HOUR * _HOUR
    at = list(range(first, int(now.timestamp()) + 1, _HOUR))
    values = [counts.get(moment, 0) for moment in at]
    return {"at": at, "series": [{"label": "failures an hour", "colour": "bad", "bars": True, "values": values}]}


@router.post(PATH + "/{issue_id}/resolve")
def resolve(request: Request, _me: Operator, issue_id: int, why: Why = "", back: Back = PATH) -> Response:
    """Its cause is gone."""

    def do() -> Told:
        issues.resolve(issue_id, who=deps.who(request), why=why)
        return Told(f"Issue #{issue_id} is resolved; it opens again if it comes back.")

    return act(back, do)


@router.post(PATH + "/{issue_id}/reopen")
def reopen(request: Request, _me: Operator, issue_id: int, why: Why = "", back: Back = PATH) -> Response:
    """It is not over."""

    def do() -> Told:
        issues.reopen(issue_id, who=deps.who(request), why=why)
        return Told(f"Issue #{issue_id} is open.")

    return act(back, do)


@router.post(PATH + "/{issue_id}/take")
def take(request: Request, _me: Operator, issue_id: int, why: Why = "", back: Back = PATH) -> Response:
    """Whoever asks works on it."""

    def do() -> Told:
        issues.take(issue_id, who=deps.who(request), why=why)
        return Told(f"Issue #{issue_id} is yours.")

    return act(back, do)


@router.post(PATH + "/{issue_id}/silence")
def silence(
    request: Request,
    _me: Operator,
    issue_id: int,
    hours: Annotated[int, Form(ge=0, le=24 * 90)],
    why: Why = "",
    back: Back = PATH,
) -> Response:
    """Let it alarm nobody for a while; 0 hours end that."""

    def do() -> Told:
        until = datetime.now(UTC) + timedelta(hours=hours) if hours else None
        issues.silence(issue_id, until, who=deps.who(request), why=why)
        if until is None:
            return Told(f"Issue #{issue_id} alarms again.")
        return Told(f"Issue #{issue_id} is silent until {until:%Y-%m-%d %H:%M} UTC.")

    return act(back, do)
