"""Replay all letters that fit: batch by batch, each in one transaction with its audit row, while others do the same.

Letters that somebody else holds are passed over; when all else is done they are waited for, so that those of an
operator who was killed meanwhile are not left behind. Letters that are born after the beginning are not meant.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from dramatiq.errors import ConnectionClosed
from sqlalchemy import DateTime, func, literal, select

from callboard.errors import CallboardError
from callboard.ledger import dead_letters, listing
from callboard.ledger.database import transaction
from callboard.operations._audit import audit
from callboard.replay import Again, Pace, Written, again, send, write
from observability.redaction import redact_text

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
# Refusals that are kept with their reasons.
_REFUSALS = 20

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
class Place:
    """How far a bulk replay is.

    Attributes:
        newest: The newest letter there was when it began.
        last_failure: The newest failure there was then.
        at: The letter that was dealt with last; the next ones are behind it.
        waiting: Whether it goes once more over what others held.
        replayed: How many.
        refused: Which ones.
        refusals: Why, of the first of them.
        issues: Those of the letters that were replayed.
        first_run: Of the first letter; None if that was refused.
        canary_ok: Whether that run has completed, where it is awaited.
    """

    newest: int
    last_failure: int
    at: int = 0
    waiting: bool = False
    replayed: int = 0
    refused: set[int] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    issues: set[int] = field(default_factory=set)
    first_run: UUID | None = None
    canary_ok: bool = False

    @property
    def tried(self) -> int:
        """Letters that were dealt with."""
        return self.replayed + len(self.refused)

    def move(self, letters: Sequence[RowMapping], done: Written) -> None:
        """Remember what became of a batch."""
        if not self.tried and done.replayed:
            self.first_run = done.replayed[0].facts.id
        self.replayed += len(done.replayed)
        self.refused |= done.refused.keys()
        room = _REFUSALS - len(self.refusals)
        self.refusals += [redact_text(str(error)) for error in list(done.refused.values())[:room]]
        self.issues |= {one["issue_id"] for one in letters if one["issue_id"] and one["id"] not in done.refused}


class Book(Protocol):
    """Where a place is kept that outlives its process."""

    def open(self, connection: Connection) -> Place:
        """Where to go on; nobody else moves it until the transaction ends."""

    def close(self, connection: Connection, place: Place) -> None:
        """Write the place, in the transaction of what was done there."""


@dataclass(slots=True)
class BulkReplay:
    """One bulk replay; `events` runs it, from where its book is, if it has one."""

    broker: Broker
    chosen: Choice
    who: Who
    why: str
    pace: Pace
    stop_on_same: bool
    limit: int | None
    stop: Callable[[], bool]
    book: Book | None = None
    place: Place = field(default_factory=lambda: Place(0, 0))

    def events(self, *, canary: bool) -> Iterator[ReplayEvent]:
        """One event for each letter, as it goes; see `callboard.operations.letters.replay_many`."""
        with transaction() as connection:
            if self.book is not None:
                self.place = self.book.open(connection)
            else:
                self.chosen = fixed(self.chosen, connection.execute(select(func.now())).scalar_one())
                self.place = begin(connection)
        if canary and not self.place.canary_ok:
            if not self.place.tried:
                yield from self._batch(1)
            if not self.place.tried:
                return
            verdict = self._verdict()
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
            yield from self._batch(self.pace.size)

    def _room(self, size: int) -> int:
        return size if self.limit is None else max(0, min(size, self.limit - self.place.tried))

    def _more(self) -> bool:
        """Whether a letter is left; after the last one, begin again with those that somebody else held."""
        if not self._room(1):
            return False
        with self._held() as connection:
            if self._is_left(connection):
                return True
            if self.place.waiting:
                return False
            self.place.at, self.place.waiting = 0, True
            self._keep(connection)
            return self._is_left(connection)

    def _is_left(self, connection: Connection) -> bool:
        return dead_letters.is_left(connection, self.chosen, after=self.place.at, upto=self.place.newest)

    @contextmanager
    def _held(self) -> Iterator[Connection]:
        """A transaction at our place, wherever a process that took us for dead may have brought it."""
        with transaction() as connection:
            if self.book is not None:
                self.place = self.book.open(connection)
            yield connection

    def _keep(self, connection: Connection) -> None:
        if self.book is not None:
            self.book.close(connection, self.place)

    def _batch(self, size: int) -> Iterator[ReplayEvent]:
        with self._held() as connection:
            place = self.place
            held = dead_letters.take(
                connection, self.chosen, after=place.at, upto=place.newest, limit=self._room(size), wait=place.waiting
            )
            letters = [letter for letter in held if letter["id"] not in place.refused]
            made, refused = self._made(letters)
            done = write(connection, made, by=self.who.name, why=self.why)
            done.refused |= refused
            if letters:
                self._note(connection, done)
            place.move(letters, done)
            place.at = held[-1]["id"] if held else place.newest
            self._keep(connection)
        self.pace.spend(len(done.replayed))
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

    def _send(self, done: Written) -> ConnectionClosed | None:
        """The error instead of raising it: what was committed is told first."""
        try:
            send(self.broker, done.replayed)
        except ConnectionClosed as error:
            return error
        return None

    # What became of them

    def _verdict(self) -> ReplayEvent:
        letter, run_id = self.place.at, self.place.first_run
        if run_id is None:
            return self._ended("canary_failed", f"the first letter was refused: {self.place.refusals[0]}")
        while not self.stop():
            with transaction() as connection:
                run = listing.run(connection, str(run_id))
            if run["state"] == "completed":
                self._trust()
                return ReplayEvent(letter, "canary_ok", str(run_id), run_id)
            # A failed attempt that waits for its retry is reason enough to stop: the cause is still there.
            if run["state"] in ("failed", "cancelled") or run["error"] is not None:
                return self._ended("canary_failed", f"run {run_id}: {run['error'] or run['state']}")
            time.sleep(_POLL_SECONDS)
        return self._ended("stopped", f"asked to stop while run {run_id} was awaited")

    def _trust(self) -> None:
        with self._held() as connection:
            self.place.canary_ok = True
            self._keep(connection)

    def _came_back(self) -> ReplayEvent | None:
        if not (self.stop_on_same and self.place.issues):
            return None
        with transaction() as connection:
            back = dead_letters.returned(connection, self.place.issues, since=self.place.last_failure)
        if back is None:
            return None
        detail = f"run {back['replay_run_id']} of letter {back['id']} failed as before, with issue {back['issue_id']}"
        event = self._ended("same_failure", f"{detail}: {back['title']}")
        return replace(event, letter_id=back["id"], run_id=back["replay_run_id"], issue_id=back["issue_id"])

    def _ended(self, result: Result, why: str) -> ReplayEvent:
        with transaction() as connection:
            left = dead_letters.left(connection, self.chosen, upto=self.place.newest)
        return ReplayEvent(self.place.at, result, why, left=left)


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A choice whose ages are counted from one moment, however long its replay takes."""

    conditions: list[ColumnElement[bool]]
    text: str

    def where(self, now: ColumnElement[datetime] | None = None) -> list[ColumnElement[bool]]:  # noqa: ARG002 - fixed
        return self.conditions


def fixed(chosen: Choice, moment: datetime) -> Choice:
    """The choice with its ages counted from this moment."""
    return _Fixed(chosen.where(literal(moment, DateTime(timezone=True))), text_of(chosen))


def begin(connection: Connection) -> Place:
    """The place of a replay that begins now."""
    return Place(dead_letters.newest(connection), dead_letters.last_failure(connection))


def text_of(chosen: Choice) -> str:
    """As a filter says it; all open ones have to be said."""
    return str(getattr(chosen, "text", chosen)) or "state:open"


def named(chosen: Choice) -> tuple[str, str]:
    """The letters of a filter, for the audit."""
    return "dead_letter", text_of(chosen)[:_LONGEST_NAME]


def _told(letters: Sequence[RowMapping], done: Written) -> Iterator[ReplayEvent]:
    runs = {one.letter_id: one.facts.id for one in done.replayed}
    for letter in letters:
        run_id = runs.get(letter["id"])
        if run_id is None:
            yield ReplayEvent(letter["id"], "refused", str(done.refused[letter["id"]]))
        else:
            yield ReplayEvent(letter["id"], "replayed", str(run_id), run_id)
