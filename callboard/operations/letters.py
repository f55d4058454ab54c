"""Replay dead letters and give them up, one or all that fit a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.compose import get_broker
from callboard.errors import ReplayRefused
from callboard.ledger import dead_letters
from callboard.ledger.database import transaction
from callboard.operations._audit import audit
from callboard.operations._bulk_replay import BulkReplay, ReplayEvent, named
from callboard.operations._replay_plan import IssueShare, ReplayPlan, plan
from callboard.replay import Pace, again, send, write
from observability.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import RowMapping

    from callboard.ledger.dead_letters import Choice
    from callboard.ledger.facts import RunFacts
    from callboard.operations._audit import Who

__all__ = [
    "IssueShare",
    "ReplayEvent",
    "ReplayPlan",
    "discard",
    "discard_many",
    "plan",
    "replay",
    "replay_many",
    "require_open",
]


def replay(letter_id: int, *, who: Who, why: str = "", args: dict[str, Any] | None = None) -> RunFacts:
    """Run a dead letter's message again, as a new run with the same correlation id; it leaves after the commit.

    Args:
        letter_id: Which one.
        who: Who asks.
        why: The reason that was given.
        args: Arguments by name that take the place of the letter's own; its payload stays as it is.

    Raises:
        NotFound: No such letter, or no loaded module declares its job.
        ReplayRefused: It was replayed or discarded before, or holds no message; the message says when and by whom.
        ArgumentsError: The changed arguments do not fit the job's signature.
        DuplicateRun: The job is single, and a run is already pending or running; the letter stays open.
        ConnectionClosed: The broker is away; the run is in the ledger, and the scheduler will send it.
    """
    broker = get_broker()
    shown = redact(args) if args else None
    with transaction() as connection:
        letter = require_open(dead_letters.hold(connection, letter_id))
        done = write(connection, [again(letter, broker, args)], by=who.name, why=why, args=shown)
        for refusal in done.refused.values():
            raise refusal
        (made,) = done.replayed
        detail = {"run_id": made.facts.id, "args": shown} if shown else {"run_id": made.facts.id}
        audit(connection, who, "dead_letter.replay", ("dead_letter", letter_id), why=why, detail=detail)
    send(broker, [made])
    return made.facts


def replay_many(
    chosen: Choice,
    *,
    who: Who,
    why: str = "",
    rate: float | None = None,
    canary: bool = False,
    stop_on_same: bool = True,
    limit: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[ReplayEvent]:
    """Replay all open letters that fit, oldest first; those that are there when it begins.

    Several may do so at once: each letter is replayed by one of them. Nothing happens until the first event is asked
    for, and when no more events are asked for, no more letters are replayed than those of the batch under way.

    Args:
        chosen: Which ones.
        who: Who asks.
        why: The reason that was given.
        rate: At most so many a second, steadily; None: as fast as it goes.
        canary: Wait for the first one's run, and go on only if it completes.
        stop_on_same: End when a replayed run fails with the fingerprint that its letter's run had; asked before
            every batch, so at full rate as many runs are on their way as the workers are behind.
        limit: Try at most so many letters.
        stop: Asked before every batch and while it waits; ends the replay when it says True.

    Yields:
        One event a letter; one that is refused does not stop the rest.

    Raises:
        ConnectionClosed: The broker is away; what was replayed so far is in the ledger, and the scheduler will send it.
    """
    bulk = BulkReplay(get_broker(), chosen, who, why, Pace(rate), stop_on_same, limit, stop or _never)
    return bulk.events(canary=canary)


def discard(letter_id: int, *, who: Who, why: str = "") -> None:
    """Give a dead letter up for good; its row stays.

    Raises:
        NotFound: No such letter.
        ReplayRefused: It was replayed or discarded before.
    """
    with transaction() as connection:
        require_open(dead_letters.hold(connection, letter_id))
        dead_letters.discard_one(connection, letter_id, by=who.name, why=why)
        audit(connection, who, "dead_letter.discard", ("dead_letter", letter_id), why=why)


def discard_many(chosen: Choice, *, who: Who, why: str = "") -> int:
    """Give up all open letters that fit, in one statement; their rows stay. Returns how many there were."""
    with transaction() as connection:
        count = dead_letters.discard(connection, chosen, by=who.name, why=why)
        audit(connection, who, "dead_letter.discard", named(chosen), why=why, detail={"discarded": count})
    return count


def require_open(letter: RowMapping) -> RowMapping:
    """The letter, if it can still be settled.

    Raises:
        ReplayRefused: It was settled before; says when, how, by whom and why.
    """
    if letter["state"] == "open":
        return letter
    run = f" as run {letter['replay_run_id']}" if letter["replay_run_id"] else ""
    reason = f" ({letter['settled_why']})" if letter["settled_why"] else ""
    raise ReplayRefused(
        f"Dead letter {letter['id']} was {letter['state']} at {letter['settled_at']:%Y-%m-%d %H:%M:%S} UTC "
        f"by {letter['settled_by']}{run}{reason}; a letter is settled at most once."
    )


def _never() -> bool:
    return False
