"""Replay all letters that fit: batch by batch, each in one transaction with its audit row, while others do the same.

Letters that somebody else holds are passed over; when all else is done they are waited for, so that those of an
operator who was killed meanwhile are not left behind. Letters that are born after the beginning are not meant.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from dramatiq.errors import ConnectionClosed
from sqlalchemy import DateTime, func, literal, select

from callboard.errors import CallboardError
from callboard.ledger import dead_letters, listing
from callboard.ledger.database import transaction
from callboard.operations._audit import audit
from callboard.replay import Again, Pace, Written, again, send, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from dramatiq import Broker
    from sqlalchemy import ColumnElement, Connection, RowMapping

    from callboard.ledger.dead_letters import Choice
    from callboard.operations._audit import Who

_POLL_SECONDS = 0.2
_LONGEST_NAME = 500

Result = Literal["replayed", "refused", "canary_ok", "canary_failed", "same_failure", "stopped"]


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """What became of one letter of a bulk replay, or how the whole ended early.

    Attributes:
        letter_id: The letter; of `stopped` the last one that was dealt with.
        result: `canary_failed`, `same_failure` and `stopped` are the last of their replay.
        detail: The new run's id, or why there is none, or why it ended.
        run_id: The new run.
        issue_id: The issue that is back, of `same_failure`.
        left: Letters left as they were, where it ended early.
    """

    letter_id: int
    result: Result
    detail: str
    run_id: UUID | None = None
    issue_id: int | None = None
    left: int | None = None


@dataclass(slots=True)
class BulkReplay:
    """One bulk replay; `events` runs it."""

    broker: Broker
    chosen: Choice
    who: Who
    why: str
    pace: Pace
    stop_on_same: bool
    limit: int | None
    stop: Callable[[], bool]
    _newest: int = 0
    _last_failure: int = 0
    _place: int = 0
    _waiting: bool = False
    _tried: int = 0
    _issues: set[int] = field(default_factory=set)
    _refused: set[int] = field(default_factory=set)

    def events(self, *, canary: bool) -> Iterator[ReplayEvent]:
        """One event for each letter, as it goes; see `callboard.operations.letters.replay_many`."""
        with transaction() as connection:
            self.chosen = _fixed(connection, self.chosen)
            self._newest = dead_letters.newest(connection)
            self._last_failure = dead_letters.last_failure(connection)
        if canary:
            first = list(self._batch(1))
            yield from first
            if not first:
                return
            verdict = self._verdict(first[0])
            yield verdict
            if verdict.result != "canary_ok":
                return
        yield from self._rest()

    def _rest(self) -> Iterator[ReplayEvent]:
        while self._more():
            if not self.pace.wait(self.stop):
                yield self._ended("stopped", "asked to stop")
                return
            back = self._came_back()
            if back is not None:
                yield back
                return
            yield from self._batch(self._room())

    def _room(self) -> int:
        return self.pace.size if self.limit is None else min(self.pace.size, self.limit - self._tried)

    def _more(self) -> bool:
        """Whether a letter is left; after the last one, begin again with those that somebody else held."""
        if self.limit is not None and self._tried >= self.limit:
            return False
        with transaction() as connection:
            if dead_letters.is_left(connection, self.chosen, after=self._place, upto=self._newest):
                return True
            if self._waiting:
                return False
            self._place, self._waiting = 0, True
            return dead_letters.is_left(connection, self.chosen, after=0, upto=self._newest)

    def _batch(self, size: int) -> Iterator[ReplayEvent]:
        with transaction() as connection:
            held = dead_letters.take(
                connection, self.chosen, after=self._place, upto=self._newest, limit=size, wait=self._waiting
            )
            letters = [letter for letter in held if letter["id"] not in self._refused]
            made, refused = self._made(letters)
            done = write(connection, made, by=self.who.name, why=self.why)
            done.refused |= refused
            if letters:
                self._note(connection, done)
        self._place = held[-1]["id"] if held else self._newest
        self._remember(letters, done)
        problem = self._send(done)
        yield from _told(letters, done)
        if problem is not None:
            raise problem

    def _made(self, letters: Sequence[RowMapping]) -> tuple[list[Again], dict[int, CallboardError]]:
        made: list[Again] = []
        refused: dict[int, CallboardError] = {}
        for letter in letters:
            try:
                made.append(again(letter, self.broker))
            except CallboardError as error:
                refused[letter["id"]] = error
        return made, refused

    def _note(self, connection: Connection, done: Written) -> None:
        ids = [*(one.letter_id for one in done.replayed), *done.refused]
        detail = {"replayed": len(done.replayed), "refused": len(done.refused), "first": min(ids), "last": max(ids)}
        audit(connection, self.who, "dead_letter.replay", named(self.chosen), why=self.why, detail=detail)

    def _remember(self, letters: Sequence[RowMapping], done: Written) -> None:
        self._tried += len(letters)
        self._refused |= done.refused.keys()
        self._issues |= {one["issue_id"] for one in letters if one["issue_id"] and one["id"] not in done.refused}
        self.pace.spend(len(done.replayed))

    def _send(self, done: Written) -> ConnectionClosed | None:
        """The error instead of raising it: what was committed is told first."""
        try:
            send(self.broker, done.replayed)
        except ConnectionClosed as error:
            return error
        return None

    # What became of them

    def _verdict(self, first: ReplayEvent) -> ReplayEvent:
        if first.run_id is None:
            return self._ended("canary_failed", f"the first letter was refused: {first.detail}")
        while not self.stop():
            with transaction() as connection:
                run = listing.run(connection, str(first.run_id))
            if run["state"] == "completed":
                return ReplayEvent(first.letter_id, "canary_ok", str(first.run_id), first.run_id)
            # A failed attempt that waits for its retry is reason enough to stop: the cause is still there.
            if run["state"] in ("failed", "cancelled") or run["error"] is not None:
                return self._ended("canary_failed", f"run {first.run_id}: {run['error'] or run['state']}")
            time.sleep(_POLL_SECONDS)
        return self._ended("stopped", f"asked to stop while run {first.run_id} was awaited")

    def _came_back(self) -> ReplayEvent | None:
        if not (self.stop_on_same and self._issues):
            return None
        with transaction() as connection:
            back = dead_letters.returned(connection, self._issues, since=self._last_failure)
        if back is None:
            return None
        detail = f"run {back['replay_run_id']} of letter {back['id']} failed as before, with issue {back['issue_id']}"
        event = self._ended("same_failure", f"{detail}: {back['title']}")
        return replace(event, letter_id=back["id"], run_id=back["replay_run_id"], issue_id=back["issue_id"])

    def _ended(self, result: Result, why: str) -> ReplayEvent:
        with transaction() as connection:
            left = dead_letters.left(connection, self.chosen, upto=self._newest)
        return ReplayEvent(self._place, result, why, left=left)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A choice whose ages are counted from one moment, however long its replay takes."""

    conditions: list[ColumnElement[bool]]
    text: str

    def where(self, now: ColumnElement[datetime] | None = None) -> list[ColumnElement[bool]]:  # noqa: ARG002 - fixed
        return self.conditions


def _fixed(connection: Connection, chosen: Choice) -> _Fixed:
    moment = connection.execute(select(func.now())).scalar_one()
    return _Fixed(chosen.where(literal(moment, DateTime(timezone=True))), named(chosen)[1])


def named(chosen: Choice) -> tuple[str, str]:
    """The letters of a filter, for the audit."""
    return "dead_letter", (str(getattr(chosen, "text", chosen)) or "state:open")[:_LONGEST_NAME]


def _told(letters: Sequence[RowMapping], done: Written) -> Iterator[ReplayEvent]:
    runs = {one.letter_id: one.facts.id for one in done.replayed}
    for letter in letters:
        run_id = runs.get(letter["id"])
        if run_id is None:
            yield ReplayEvent(letter["id"], "refused", str(done.refused[letter["id"]]))
        else:
            yield ReplayEvent(letter["id"], "replayed", str(run_id), run_id)
