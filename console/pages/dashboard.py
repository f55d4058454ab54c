"""The unified dashboard: what needs a look, what runs, what waits, and every run behind a filter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callboard.accounts.permissions import Permission, may
from callboard.ledger import breakers
from callboard.views import overview
from console.deps import Ledger, SignedIn  # noqa: TC001 - FastAPI reads annotations at run time
from console.pages import _queries
from console.pages._kit import RUNS, Reader, show
from console.pages._listing import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.views.overview import Point

router = APIRouter(include_in_schema=False)
WINDOWS = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(hours=24)}


@router.get("/")
@router.get("/admin")
def start(me: SignedIn) -> Response:
    """Where whoever signs in begins: the board, or their teams."""
    return RedirectResponse(RUNS if may(me, Permission.BOARD_READ) else "/teams", 303)


@router.get(RUNS)
def dashboard(
    request: Request, ledger: Ledger, _me: Reader, q: str = "", cursor: str = "", window: str = "1h"
) -> Response:
    """The dashboard."""
    now = datetime.now(UTC)
    chosen = window if window in WINDOWS else "1h"
    told = overview.tell(ledger, now=now, window=WINDOWS[chosen])
    return show(
        request,
        ledger,
        "dashboard.html",
        overview=told,
        counts=told.counts,
        chart=chart(told.series, now),
        windows=list(WINDOWS),
        window=chosen,
        issues=_queries.open_issues(ledger, now),
        breakers=[one for one in breakers.listing(ledger, unwell=True, limit=50) if one["state"] != "closed"],
        running=_queries.running(ledger),
        waits=_queries.oldest_waits(ledger, now),
        list=look(ledger, "runs", RUNS, q=q, cursor=cursor, limit=25),
    )


def chart(series: Sequence[Point], now: datetime) -> dict[str, object]:
    """Attempts per step as uPlot draws them; moments in seconds since 1970. The step that is not over is left out."""
    over = [point for point in series if point.at <= now]
    return {
        "at": [int(point.at.timestamp()) for point in over],
        "series": [
            {"label": "completed", "colour": "run", "values": [point.success for point in over]},
            {"label": "retried", "colour": "wait", "values": [point.retry for point in over]},
            {"label": "failed", "colour": "bad", "values": [point.failed for point in over]},
        ],
    }
