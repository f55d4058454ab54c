"""`/v1/queues`: what waits where; pause a queue, resume it, bound it."""

from typing import Annotated

from fastapi import APIRouter, Path

from callboard.errors import NotFound
from callboard.operations import queues as operations
from callboard.views import queues as views
from console.api._doors import Operator, Reader, WhoAsks
from console.api._problems import documented
from console.api.models import Queue, QueueLimit, Queues, Reason

router = APIRouter(prefix="/v1/queues", tags=["queues"], responses=documented(404, 409))

Name = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_\-]*$", description="Its name.")]


@router.get("", operation_id="list_queues", summary="All queues and what waits in them")
def list_queues(_: Reader) -> Queues:
    """The ledger's half is told also while the broker does not answer."""
    found = views.listing()
    return Queues(items=[Queue.model_validate(queue) for queue in found.queues], broker_error=found.broker_error)


@router.get("/{queue}", operation_id="get_queue", summary="One queue")
def get_queue(queue: Name, _: Reader) -> Queue:
    """Its depth, by state."""
    return _one(queue)


@router.post("/{queue}/pause", operation_id="pause_queue", summary="Hand out nothing of a queue")
def pause(queue: Name, asked: Reason, _: Operator, who: WhoAsks) -> Queue:
    """What runs goes on."""
    operations.pause(queue, who=who, why=asked.why)
    return _one(queue)


@router.post("/{queue}/resume", operation_id="resume_queue", summary="Hand out its messages again")
def resume(queue: Name, asked: Reason, _: Operator, who: WhoAsks) -> Queue:
    """Also if it was not paused."""
    operations.resume(queue, who=who, why=asked.why)
    return _one(queue)


@router.post("/{queue}/limit", operation_id="limit_queue", summary="Bound how much of it runs at once")
def limit(queue: Name, asked: QueueLimit, _: Operator, who: WhoAsks) -> Queue:
    """Over all workers; 409 where the broker keeps no such bound."""
    operations.limit(queue, asked.limit, who=who, why=asked.why)
    return _one(queue)


def _one(name: str) -> Queue:
    operations.require(name)
    for queue in views.listing().queues:
        if queue.queue == name:
            return Queue.model_validate(queue)
    raise NotFound(f"No queue is called {name!r} any more.")
