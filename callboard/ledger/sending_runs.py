"""The runs that send notifications: written in the transaction of what they tell of, enqueued after its commit."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dramatiq.broker
import structlog
from dramatiq import Message

from callboard.ids import new_id
from callboard.ledger import notifications, runs
from callboard.ledger.database import transaction
from callboard.ledger.facts import dumps
from callboard.ledger.seal import seal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.ledger.facts import RunFacts
    from callboard.ledger.wire import Cursor

logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: The job that sends, and its queue; `callboard.notifications` declares it.
NAME, QUEUE = "callboard_notify", "callboard_notifications"
#: The key under which a message carries what Callboard knows of it: `callboard.envelope.KEY`, a floor above this one.
ENVELOPE = "callboard"


def write(cursor: Cursor, notifications_of: Sequence[tuple[int, RunFacts]]) -> list[Message[None]]:
    """Write a pending run for each notification, given with the run it tells of; `await_commit` takes the messages."""
    letters = [_letter(number, told) for number, told in notifications_of]
    if letters:
        notifications.insert_runs(cursor, [_run(letter) for letter in letters])
    return letters


def _letter(number: int, told: RunFacts) -> Message[None]:
    envelope = {
        "trigger": f"job:{told.job}",
        "recorded": True,
        "durable": True,
        "correlation_id": told.correlation_id,
        "parent_id": str(told.id),
    }
    return Message(QUEUE, NAME, (), {"notification": number}, {ENVELOPE: envelope}, message_id=new_id())


def _run(letter: Message[None]) -> dict[str, Any]:
    run_id, created_at = _key(letter)
    envelope = letter.options[ENVELOPE]
    envelope["eligible_at"] = created_at.timestamp()
    return {
        "id": run_id,
        "created_at": created_at,
        "job": NAME,
        "queue": QUEUE,
        "trigger": envelope["trigger"],
        "correlation_id": envelope["correlation_id"],
        "parent_id": UUID(envelope["parent_id"]),
        "args": dumps(letter.kwargs),
        "payload": seal(letter.encode()),
        "delivery": f"{letter.message_id}.0",
    }


def _key(letter: Message[None]) -> tuple[UUID, datetime]:
    return UUID(letter.message_id), datetime.fromtimestamp(letter.message_timestamp / 1000, UTC)


# After the commit

_here = threading.local()


def await_commit(letters: Sequence[Message[None]]) -> None:
    """Keep what this thread has written until it calls `leave`."""
    if not hasattr(_here, "letters"):
        _here.letters = []
    _here.letters.extend(letters)


def leave() -> None:
    """Enqueue what this thread has written, as far as it is committed; called when the transaction is over.

    Never raises: what the broker does not take now, the reconciler sends.
    """
    letters: list[Message[None]] | None = getattr(_here, "letters", None)
    if not letters:
        return
    _here.letters = []
    try:
        _relay(letters)
    except Exception as error:  # noqa: BLE001 - as said above
        told = str(error).partition("\n")[0]
        logger.warning("notify.send_postponed", messages=len(letters), error=told, error_type=type(error).__name__)


def _relay(letters: Sequence[Message[None]]) -> None:
    broker = dramatiq.broker.global_broker
    if broker is None:  # a process that only writes, e.g. one that cancels
        return
    with transaction() as connection:
        committed = runs.unsent(connection, [_key(letter) for letter in letters])
    leaving = [letter for letter in letters if UUID(letter.message_id) in committed]
    for letter in leaving:
        broker.enqueue(letter)
    if leaving:
        with transaction() as connection:
            runs.mark_all_enqueued(connection, [_key(letter) for letter in leaving])
