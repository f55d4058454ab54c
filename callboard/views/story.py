"""One run, with all that led to it and came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text

from callboard.ledger import failures, listing
from callboard.surroundings import facts_about
from callboard.waiting import reasons, times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Connection, RowMapping

    from callboard.waiting import Explanation, Times

_PARENT = text("select id, job, state, trigger, created_at from board.runs where id = :id")
# A run has one dead letter at most that is its own, and came from one at most.
_LETTERS = text("""
select id, run_id, state, kind, reason, error_type, error, created_at, settled_at, settled_by, settled_why,
       replay_run_id, replay_args, issue_id
from board.dead_letters where run_id = :id or replay_run_id = :id
""")
_TOKENS = text("""
select category, model, calls, prompt_tokens, completion_tokens from board.token_usages where run_id = :id
order by category, model
""")
_NOTIFICATIONS = text("""
select event, channel, target, state, attempts, error, created_at, sent_at from board.notifications
where run_id = :id order by id
""")
_PREFIX = 13


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened to the run; `attempt` is None where it belongs to none."""

    at: datetime
    kind: Literal["due", "created", "started", "failed", "event", "cancel", "finished", "retry"]
    text: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Everything that is known of a run at one moment. Rows as the ledger has them, without payloads.

    Attributes:
        failures: Its failed attempts, oldest first, with error, traceback and log lines.
        children: Runs that it caused directly.
        parent: The run that caused it.
        letter: Its own dead letter.
        replayed_from: The dead letter that it is a replay of.
        waits: Why it does not run, what holds it now first.
        times: Seconds it waited, ran and took from end to end, so far.
        timeline: What happened to it, oldest first.
    """

    now: datetime
    run: RowMapping
    failures: Sequence[RowMapping]
    children: Sequence[RowMapping]
    parent: RowMapping | None
    letter: RowMapping | None
    replayed_from: RowMapping | None
    waits: tuple[Explanation, ...]
    times: Times
    tokens: Sequence[RowMapping]
    notifications: Sequence[RowMapping]
    timeline: tuple[Moment, ...]


def tell(connection: Connection, id_or_prefix: str, *, now: datetime) -> Story:
    """The story of the run of that id, or of the only one whose id begins so.

    Raises:
        NotFound: There is none, or more than one.
    """
    run = listing.run(connection, id_or_prefix)
    given: dict[str, UUID] = {"id": run["id"]}
    failed = failures.of_run(connection, run["id"])
    letters = connection.execute(_LETTERS, given).mappings().all()
    return Story(
        now=now,
        run=run,
        failures=failed,
        children=listing.children(connection, run["id"]),
        parent=_parent(connection, run),
        letter=next((letter for letter in letters if letter["run_id"] == run["id"]), None),
        replayed_from=next((letter for letter in letters if letter["replay_run_id"] == run["id"]), None),
        waits=why(connection, run, now=now),
        times=times(run, now),
        tokens=connection.execute(_TOKENS, given).mappings().all(),
        notifications=connection.execute(_NOTIFICATIONS, given).mappings().all(),
        timeline=tuple(sorted(_timeline(run, failed), key=lambda moment: moment.at)),
    )


def why(connection: Connection, run: RowMapping, *, now: datetime) -> tuple[Explanation, ...]:
    """What keeps the run from running; nothing is asked of anybody for one that has ended."""
    if run["state"] not in ("pending", "running"):
        return ()
    return reasons(facts_about(connection, run, now=now, name=str(run["id"])[:_PREFIX]))


def _parent(connection: Connection, run: RowMapping) -> RowMapping | None:
    if run["parent_id"] is None:
        return None
    return connection.execute(_PARENT, {"id": run["parent_id"]}).mappings().one_or_none()


def _timeline(run: RowMapping, failed: Sequence[RowMapping]) -> Iterator[Moment]:
    if run["scheduled_for"] is not None:
        yield Moment(run["scheduled_for"], "due", "due")
    yield Moment(run["created_at"], "created", f"asked for by {run['trigger']}")
    for failure in failed:
        told = f"{failure['error_type']}: {failure['error']}"
        if failure["duration_seconds"] is not None:
            told = f"after {failure['duration_seconds']:.1f} s, {told}"
        yield Moment(failure["occurred_at"], "failed", told, failure["attempt"])
    if run["started_at"] is not None:
        yield Moment(run["started_at"], "started", f"attempt {run['attempt']} began", run["attempt"])
    for event in run["history"] or ():
        yield Moment(_at(event), "event", " ".join(filter(None, (event.get("event"), event.get("detail")))))
    if run["cancel_requested_at"] is not None:
        yield Moment(run["cancel_requested_at"], "cancel", f"asked to stop by {run['cancel_requested_by']}")
    if run["finished_at"] is not None:
        told = run["state"] + (f": {run['reason']}" if run["reason"] else "")
        yield Moment(run["finished_at"], "finished", told, run["attempt"])
    elif run["retry_at"] is not None:
        yield Moment(run["retry_at"], "retry", f"attempt {run['attempt'] + 1} is due")


def _at(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"]).astimezone(UTC)
