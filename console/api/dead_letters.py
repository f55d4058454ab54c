"""`/v1/dead-letters`: messages that were given up on; replay them, or give them up for good."""

from collections.abc import Iterator
from threading import Event
from typing import Any

from dramatiq.errors import BrokerError
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from callboard.errors import CallboardError
from callboard.filters import parse
from callboard.ledger import dead_letters as ledger
from callboard.ledger.database import AWAY, transaction
from callboard.operations import letters as operations
from console.api._doors import Operator, Reader, WhoAsks
from console.api._lists import Number, Paged, listing
from console.api._problems import documented
from console.api.models import (
    Chosen,
    CountedListing,
    Discarded,
    DiscardMany,
    Letter,
    LetterStory,
    Reason,
    Replay,
    ReplayEvent,
    ReplayMany,
    ReplayPlan,
    Started,
)
from observability.redaction import redact_text

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"], responses=documented(404, 409))

_LINES = "application/x-ndjson"
_STREAM = {
    "model": ReplayEvent,
    "description": "One line of JSON for each letter, as it goes; the last may say why it ended early.",
    "content": {_LINES: {}},
}


@router.get("", operation_id="list_dead_letters", summary="Dead letters, newest first")
def list_letters(paging: Paged, _: Reader) -> CountedListing[Letter]:
    """Those that the filter matches, page by page; `state:open` are those not settled yet."""
    return CountedListing[Letter].model_validate(listing("dead_letters", paging))


@router.post("/plan", operation_id="plan_replay", summary="What a replay of a filter would do")
def plan(asked: Chosen, _: Reader) -> ReplayPlan:
    """Nothing is done."""
    return ReplayPlan.model_validate(operations.plan(parse(asked.filter, "dead_letters")))


@router.post(
    "/replay",
    operation_id="replay_dead_letters",
    response_class=StreamingResponse,
    responses={200: _STREAM},
    summary="Replay all open dead letters that a filter matches",
)
def replay_many(asked: ReplayMany, _: Operator, who: WhoAsks) -> StreamingResponse:
    """Each at most once, whoever else does the same.

    It goes on as long as its answer is read: close the connection to stop it after the batch at hand. What is left
    stays open; ask again to go on.
    """
    stop = Event()
    events = operations.replay_many(
        parse(asked.filter, "dead_letters"),
        who=who,
        why=asked.why,
        rate=asked.rate,
        canary=asked.canary,
        stop_on_same=asked.stop_on_same,
        limit=asked.limit,
        stop=stop.is_set,
    )
    first = next(events, None)  # so that what is refused as a whole has a status of its own
    return StreamingResponse(_lines(first, events, stop), media_type=_LINES)


@router.get("/{letter_id}", operation_id="get_dead_letter", summary="One dead letter with its history and lineage")
def get_letter(letter_id: Number, _: Reader) -> LetterStory:
    """Every attempt with its error and log lines; the letters it came of, and those that came of it."""
    with transaction() as connection:
        letter = ledger.get(connection, letter_id)
        attempts = ledger.history(connection, letter)
        lineage = ledger.lineage(connection, letter_id)
    return LetterStory.model_validate(dict(letter) | {"attempts_failed": attempts, "lineage": lineage})


@router.post(
    "/{letter_id}/replay", operation_id="replay_dead_letter", status_code=201, summary="Replay one dead letter"
)
def replay(letter_id: Number, asked: Replay, _: Operator, who: WhoAsks) -> Started:
    """As a new run, with some arguments changed if they are given; 409 if it was settled before."""
    return Started.model_validate(operations.replay(letter_id, who=who, why=asked.why, args=asked.args))


@router.post("/{letter_id}/discard", operation_id="discard_dead_letter", summary="Give one dead letter up for good")
def discard(letter_id: Number, asked: Reason, _: Operator, who: WhoAsks) -> Letter:
    """Its row stays; 409 if it was settled before."""
    operations.discard(letter_id, who=who, why=asked.why)
    with transaction() as connection:
        return Letter.model_validate(ledger.get(connection, letter_id))


@router.post("/discard", operation_id="discard_dead_letters", summary="Give up all open ones that a filter matches")
def discard_many(asked: DiscardMany, _: Operator, who: WhoAsks) -> Discarded:
    """Their rows stay."""
    chosen = parse(asked.filter, "dead_letters")
    return Discarded(discarded=operations.discard_many(chosen, who=who, why=asked.why))


def _lines(first: Any, events: Iterator[Any], stop: Event) -> Iterator[bytes]:  # noqa: ANN401 - an event
    """The events as lines; when nobody reads them any more, the replay is stopped."""
    try:
        if first is not None:
            yield _line(first)
        for event in events:
            yield _line(event)
    except (CallboardError, BrokerError, *AWAY) as error:
        yield _line({"result": "error", "detail": redact_text(str(error))})
    finally:
        stop.set()


def _line(event: object) -> bytes:
    return ReplayEvent.model_validate(event).model_dump_json().encode() + b"\n"
