"""`/v1/replays`: replays of many dead letters that are left to the workers, and outlive who asked for them."""

from fastapi import APIRouter

from callboard.filters import parse
from callboard.ledger.database import transaction
from callboard.operations import replays as operations
from callboard.views import replays as views
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Limit, Number
from console.api._problems import documented
from console.api.models import BulkReplay, BulkReplays, Reason, ReplayMany

router = APIRouter(prefix="/v1/replays", tags=["dead letters"], responses=documented(404))


@router.get("", operation_id="list_replays", summary="Bulk replays, newest first")
def list_replays(_: Reader, limit: Limit = 50) -> BulkReplays:
    """Those that were left to the workers."""
    with transaction() as connection:
        return BulkReplays.model_validate({"items": views.latest(connection, limit=limit)})


@router.post("", operation_id="start_replay", status_code=201, summary="Let the workers replay what a filter matches")
def start(asked: ReplayMany, _: Operator, who: WhoAsks) -> BulkReplay:
    """All open dead letters that are there now, each at most once, in a run that goes on when nobody listens."""
    given = asked.model_dump(exclude={"filter"})
    number = operations.start(parse(asked.filter, "dead_letters"), who=who, **given)
    return BulkReplay.model_validate(views.get(number))


@router.get("/{replay_id}", operation_id="get_replay", summary="How far a bulk replay is, or how it ended")
def get_replay(replay_id: Number, _: Reader) -> BulkReplay:
    """Its run has the log."""
    return BulkReplay.model_validate(views.get(replay_id))


@router.post("/{replay_id}/stop", operation_id="stop_replay", summary="End a bulk replay after the batch under way")
def stop(replay_id: Number, asked: Reason, _: Operator, who: WhoAsks) -> BulkReplay:
    """What is replayed stays replayed; 404 if it is over."""
    operations.stop(replay_id, who=who, why=asked.why)
    return BulkReplay.model_validate(views.get(replay_id))
