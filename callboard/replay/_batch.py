"""A batch of replays: written in one transaction, sent after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from callboard.broker.transport import Transport
from callboard.errors import CallboardError, DuplicateRun, ReplayRefused
from callboard.ledger import claims, dead_letters, runs
from callboard.ledger.database import transaction
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dramatiq import Broker
    from sqlalchemy import Connection

    from callboard.replay._again import Again


@dataclass(slots=True)
class Written:
    """What became of a batch: the replays to be sent after the commit, and why other letters stay open, by id."""

    replayed: list[Again] = field(default_factory=list)
    refused: dict[int, CallboardError] = field(default_factory=dict)


def write(
    connection: Connection, batch: Sequence[Again], *, by: str, why: str = "", args: dict[str, Any] | None = None
) -> Written:
    """Write the pending runs, with their claims, and settle their letters.

    Args:
        connection: The transaction that holds the letters.
        batch: What they become.
        by: Who asked.
        why: The reason that was given.
        args: What the arguments were changed to, redacted.

    Raises:
        ReplayRefused: A letter was not open, which the caller should have seen; nothing is to be committed.
    """
    single = [one.facts for one in batch if one.facts.single]
    holders = claims.take_many(connection, single, lease=get_settings().pending_lease_seconds) if single else {}
    done = Written()
    for one in batch:
        facts = one.facts
        if facts.id in holders:
            done.refused[one.letter_id] = DuplicateRun(facts.job, holders[facts.id], facts.scope)
        else:
            done.replayed.append(one)
    if done.replayed:
        runs.insert_many_pending(connection, [one.facts for one in done.replayed])
        settled = [(one.letter_id, one.facts.id) for one in done.replayed]
        if dead_letters.settle(connection, settled, by=by, why=why, args=args) != len(settled):
            raise ReplayRefused("a letter of the batch was settled before, although it was held; nothing was replayed")
    return done


def send(broker: Broker, replayed: Iterable[Again]) -> None:
    """Hand the messages of committed replays to the broker, and remember that it took them.

    Raises:
        ConnectionClosed: The broker did not take them; the reconciler will send them.
    """
    batch = list(replayed)
    if not batch:
        return
    messages = [one.message for one in batch]
    if isinstance(broker, Transport):
        broker.enqueue_many(messages)
    else:
        for message in messages:
            broker.enqueue(message)
    with transaction() as connection:
        runs.mark_all_enqueued(connection, [(one.facts.id, one.facts.created_at) for one in batch])
