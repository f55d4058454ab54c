"""Carries out the replay of many letters, and tells of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, cast

import typer

from callboard.errors import ReplayRefused
from callboard.exits import Exit
from callboard.operations import letters
from callboard.operations.letters import ReplayEvent
from cli._ids import short
from cli._output import print_json, say
from cli._signals import was_interrupted
from cli.board import board
from cli.dead_letters._news import Tally, news
from cli.dead_letters._select import ById

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import RowMapping

    from cli.board._port import Letters


@dataclass
class Bulk:
    """A replay of `count` letters, as the options say; `run` ends the command."""

    which: Letters
    count: int
    why: str
    rate: float | None
    canary: bool
    keep_going: bool
    limit: int | None
    _tally: Tally = field(default_factory=Tally)

    def run(self, *, as_json: bool) -> None:
        """Replay them, print what becomes of them, and end with the exit code.

        Raises:
            typer.Exit: Always.
        """
        if as_json:
            print_json([asdict(event) for event in self._events()])
        else:
            self._told()
        bad = self._tally.refused or self._tally.early
        raise typer.Exit(Exit.FAILED if bad else Exit.OK)

    def detach(self, *, as_json: bool) -> None:
        """Leave it to the workers, and tell where it is watched and stopped."""
        asked = board().start_replay(self.which, **self._asked)
        if as_json:
            print_json(asdict(asked))
            return
        run = short(asked.run_id)
        say(f"Bulk replay {asked.id} of {asked.total:,} letter{'' if asked.total == 1 else 's'} is asked for.")
        say(f"callboard run show {run} tells how it goes, callboard cancel {run} stops it.")

    @property
    def _asked(self) -> dict[str, Any]:
        paced = {"rate": self.rate, "canary": self.canary, "limit": self.limit}
        return {"why": self.why, "stop_on_same": not self.keep_going, **paced}

    def _events(self) -> Iterator[ReplayEvent]:
        for event in board().replay_many(self.which, **self._asked):
            self._tally.add(event)
            yield event
        for event in self._settled_before():
            self._tally.add(event)
            yield event

    def _settled_before(self) -> Iterator[ReplayEvent]:
        """Letters that were named and are not open any more, each with its story."""
        for letter_id in self.which.ids if isinstance(self.which, ById) else ():
            if letter_id in self._tally.seen:
                continue
            try:
                letters.require_open(cast("RowMapping", board().letter(letter_id).letter))
            except ReplayRefused as error:
                yield ReplayEvent(letter_id, "refused", str(error))

    def _told(self) -> None:
        try:
            with news(self.count, self._tally) as tell:
                for event in self._events():
                    tell(event)
        except BaseException as error:
            if not was_interrupted(error):
                raise
            stopped = f"Stopped after {self._tally.tried:,} of {self.count:,}"
            say(f"{stopped}; the same command goes on with the rest.", stderr=True)
            raise KeyboardInterrupt from error
        early = self._tally.early
        left = self.count - self._tally.tried if early is None or early.left is None else early.left
        bad = self._tally.refused + (early is not None)
        say(f"{self._tally.replayed:,} replayed, {bad:,} refused or failed, {max(left, 0):,} left as they were.")
        if early is not None and early.result == "same_failure":
            say(f"callboard issues show {early.issue_id} tells of it; --keep-going replays the rest all the same.")
