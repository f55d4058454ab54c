"""Bulk replays that are left to the workers: started here, watched and stopped from any door."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dramatiq.errors import ConnectionClosed
from sqlalchemy import func, select

from callboard import dispatch
from callboard.compose import get_broker
from callboard.errors import NotFound
from callboard.ledger import bulk_replays, dead_letters
from callboard.ledger.database import transaction
from callboard.operations import runs
from callboard.operations._audit import audit
from callboard.operations._bulk_replay import begin, fixed, named, text_of
from callboard.spec import spec_of

if TYPE_CHECKING:
    from callboard.ledger.dead_letters import Choice
    from callboard.operations._audit import Who

_MOST_LETTERS = 2**31 - 1


def start(
    chosen: Choice,
    *,
    who: Who,
    why: str = "",
    rate: float | None = None,
    canary: bool = False,
    stop_on_same: bool = True,
    limit: int | None = None,
) -> int:
    """Let the workers replay all open letters that fit, in a run of its own that outlives this process; its number.

    The arguments are those of `letters.replay_many`; letters that are born from now on are not meant. A broker that is
    away only delays it: the run is in the ledger, and the scheduler will send it.
    """
    broker = get_broker()
    actor = broker.get_actor(bulk_replays.NAME)
    with transaction() as connection:
        moment = connection.execute(select(func.now())).scalar_one()
        place, number = begin(connection), bulk_replays.next_id(connection)
        there = dead_letters.left(connection, fixed(chosen, moment), upto=place.newest)
        message = dispatch.message_for(actor, kwargs={"replay": number}, trigger=who.name)
        facts = dispatch.insert(connection, message, spec_of(actor))
        asked = {"rate": rate, "canary": canary, "stop_on_same": stop_on_same}
        bulk_replays.insert(
            connection,
            id=number,
            run_id=facts.id,
            created_at=moment,
            filter=text_of(chosen),
            who=who.name,
            ip=who.ip,
            agent=who.agent,
            team_id=who.team_id,
            why=why,
            most=None if limit is None else min(limit, _MOST_LETTERS),
            total=min(there, limit or there),
            newest=place.newest,
            last_failure=place.last_failure,
            **asked,
        )
        detail = {"replay": number, "run_id": facts.id, "limit": limit, **asked}
        audit(connection, who, "dead_letter.replay_all", named(chosen), why=why, detail=detail)
    with suppress(ConnectionClosed):
        dispatch.enqueue(broker, message, facts)
    return number


def stop(replay_id: int, *, who: Who, why: str = "") -> None:
    """End one after the batch under way; what is replayed stays replayed.

    Raises:
        NotFound: There is none of that id, or it is over.
    """
    with transaction() as connection:
        row = bulk_replays.get(connection, replay_id)
    if row["result"] is not None or row["run_state"] not in ("pending", "running"):
        raise NotFound(f"Bulk replay {replay_id} is over: {row['result'] or row['run_state']}.")
    runs.cancel(row["run_id"], who=who, why=why)
