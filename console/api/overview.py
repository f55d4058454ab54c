"""`/v1/overview`, `/v1/now` and `/v1/metrics/trends`: the board as a whole, now and over time."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query

from callboard.ledger.database import transaction
from callboard.views import overview as views
from callboard.views.look import Ledger, look
from console.api._doors import Reader
from console.api._lists import NO_NUL
from console.api._problems import documented
from console.api.models import Now, Overview, Trends

router = APIRouter(prefix="/v1", tags=["overview"], responses=documented())


@router.get("/overview", operation_id="get_overview", summary="The board as a whole")
def get_overview(_: Reader) -> Overview:
    """What waits and runs, what needs a look, and the last hour's throughput."""
    with transaction() as connection:
        return Overview.model_validate(views.tell(connection, now=datetime.now(UTC)))


@router.get("/now", operation_id="get_now", summary="Everything at this moment")
def get_now(_: Reader) -> Now:
    """What `callboard top` asks for; rates are the difference between two of these."""
    seen = look(_why)
    facts = {name: getattr(seen.snapshot, name) for name in ("queues", "schedules", "jobs")}
    return Now.model_validate({"moment": seen.moment, **facts, "ledger": _told(seen.ledger), "down": seen.down})


def _why(error: Exception) -> str:
    """Not in its own words, which may tell where the server is."""
    return f"the console cannot reach it ({type(error).__name__})"


def _told(ledger: Ledger | None) -> dict[str, Any] | None:
    if ledger is None:
        return None
    ended = {job: one._asdict() for job, one in ledger.ended.items()}
    rows = {name: [dict(row) for row in getattr(ledger, name)] for name in ("running", "workers")}
    return {"ended": ended, "scheduler": ledger.scheduler, **rows}


@router.get("/metrics/trends", operation_id="get_trends", summary="Attempts over time, by how they ended")
def get_trends(
    _: Reader,
    hours: Annotated[float, Query(gt=0, le=24 * 366, allow_inf_nan=False, description="Up to now.")] = 24,
    job: Annotated[str | None, Query(max_length=100, pattern=NO_NUL, description="Of this job only.")] = None,
) -> Trends:
    """Counted by the minute."""
    with transaction() as connection:
        points = views.series(connection, now=datetime.now(UTC), window=timedelta(hours=hours), job=job)
    return Trends.model_validate({"items": points})
