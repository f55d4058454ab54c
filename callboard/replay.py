"""Replay dead letters: each at most once, whoever asks and however often.

The letter is marked and the new run written in one transaction; the message leaves after it. If the process dies in
between, the reconciler sends the message, so a replay is neither lost nor doubled.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from dramatiq import Message

from callboard.compose import get_broker
from callboard.dispatch import enqueue, insert
from callboard.envelope import KEY, stamp
from callboard.errors import CallboardError, NotFound, ReplayRefused
from callboard.ledger import dead_letters, listing
from callboard.ledger.database import transaction
from callboard.spec import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy import RowMapping

    from callboard.ledger.dead_letters import Filter
    from callboard.ledger.facts import RunFacts

_CANARY_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """What became of one letter of a bulk replay; `detail` is the new run's id, or why there is none."""

    letter_id: int
    result: Literal["replayed", "refused", "canary_ok", "canary_failed"]
    detail: str


def replay(letter_id: int, *, by: str) -> RunFacts:
    """Run a dead letter's message again, as a new run with the same payload and correlation id.

    Raises:
        NotFound: No such letter, or no loaded module declares its job.
        ReplayRefused: It was replayed or discarded before; the message says when and by whom.
        DuplicateRun: The job is single, and a run is already pending or running; the letter stays open.
    """
    with transaction() as connection:
        letter = dead_letters.get(connection, letter_id)
        message = _again(letter)
        broker = get_broker()
        actor = broker.actors.get(message.actor_name)
        if actor is None:
            raise NotFound(
                f"No loaded module declares the job {message.actor_name!r} of letter {letter_id}; "
                "add its module to CALLBOARD_ACTORS."
            )
        facts = insert(connection, message, spec_of(actor))
        if not dead_letters.settle(connection, letter_id, "replayed", by=by, run_id=facts.id):
            raise ReplayRefused(_why(dead_letters.get(connection, letter_id)))
    enqueue(broker, message, facts)
    return facts


def _again(letter: RowMapping) -> Message[Any]:
    old: Message[Any] = Message.decode(bytes(letter["payload"]))
    kept = {k: v for k, v in old.options.items() if k not in ("retries", "redis_message_id", "eta", "traceback", KEY)}
    envelope = {
        "correlation_id": letter["correlation_id"],
        "trigger": f"replay:{letter['id']}",
        "parent_id": str(letter["run_id"]),
        "recorded": True,
        "durable": True,
    }
    message: Message[Any] = Message(
        queue_name=letter["queue"],
        actor_name=old.actor_name,
        args=old.args,
        kwargs=old.kwargs,
        options={**kept, KEY: envelope},
        message_id=str(uuid4()),
    )
    stamp(message, None)
    return message


def _why(letter: RowMapping) -> str:
    run = f" as run {letter['replay_run_id']}" if letter["replay_run_id"] else ""
    return (
        f"Dead letter {letter['id']} was {letter['state']} at {letter['settled_at']:%Y-%m-%d %H:%M:%S} UTC "
        f"by {letter['settled_by']}{run}; a letter is settled at most once."
    )


def discard(letter_id: int, *, by: str) -> None:
    """Give a dead letter up for good; its row stays.

    Raises:
        NotFound: No such letter.
        ReplayRefused: It was replayed or discarded before.
    """
    with transaction() as connection:
        dead_letters.get(connection, letter_id)
        if not dead_letters.settle(connection, letter_id, "discarded", by=by):
            raise ReplayRefused(_why(dead_letters.get(connection, letter_id)))


def replay_many(
    chosen: Filter,
    *,
    by: str,
    rate: float | None = None,
    canary: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[ReplayEvent]:
    """Replay all letters that fit, oldest first.

    Args:
        chosen: Which ones.
        by: Who asks.
        rate: At most so many a second; None: as fast as it goes.
        canary: Wait for the first one's run, and go on only if it completes.
        sleep: How to wait, for tests.

    Yields:
        One event a letter; one that is refused does not stop the rest.
    """
    with transaction() as connection:
        wanted = dead_letters.ids(connection, chosen)
    for number, letter_id in enumerate(wanted):
        event, run_id = _try(letter_id, by)
        yield event
        if canary and number == 0:
            verdict = _canary(letter_id, run_id, sleep)
            yield verdict
            if verdict.result == "canary_failed":
                return
        if rate is not None:
            sleep(1 / rate)


def _try(letter_id: int, by: str) -> tuple[ReplayEvent, UUID | None]:
    try:
        facts = replay(letter_id, by=by)
    except CallboardError as error:
        return ReplayEvent(letter_id, "refused", str(error)), None
    return ReplayEvent(letter_id, "replayed", str(facts.id)), facts.id


def _canary(letter_id: int, run_id: UUID | None, sleep: Callable[[float], None]) -> ReplayEvent:
    if run_id is None:
        return ReplayEvent(letter_id, "canary_failed", "the first letter was refused")
    while True:
        with transaction() as connection:
            run = listing.run(connection, str(run_id))
        if run["state"] == "completed":
            return ReplayEvent(letter_id, "canary_ok", str(run_id))
        # A failed attempt that waits for its retry is reason enough to stop: the cause is still there.
        if run["state"] in ("failed", "cancelled") or run["error"] is not None:
            return ReplayEvent(letter_id, "canary_failed", f"run {run_id}: {run['error'] or run['state']}")
        sleep(_CANARY_POLL_SECONDS)
