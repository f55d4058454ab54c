"""What a bulk replay tells while it goes: a line for each of a few letters, one calm line for many."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli._output import console, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from callboard.operations.letters import ReplayEvent

#: So many letters get a line each.
_FEW = 20
#: Refusals that are told one by one among many.
_REFUSALS = 10
#: Seconds between two lines where there is no terminal.
_QUIET_SECONDS = 5.0


@dataclass
class Tally:
    """What a bulk replay came to so far; `early` is the event that ended it before all were dealt with."""

    replayed: int = 0
    refused: int = 0
    seen: set[int] = field(default_factory=set)
    early: ReplayEvent | None = None
    _began: float = field(default_factory=time.monotonic)

    def add(self, event: ReplayEvent) -> None:
        """Count it."""
        if event.result == "replayed":
            self.replayed += 1
        elif event.result == "refused":
            self.refused += 1
        elif event.result != "canary_ok":
            self.early = event
            return
        self.seen.add(event.letter_id)

    @property
    def tried(self) -> int:
        """Letters that were dealt with."""
        return self.replayed + self.refused

    @property
    def words(self) -> str:
        """`1,500 replayed, 2 refused, 2,310/s`."""
        rate = self.replayed / max(time.monotonic() - self._began, 0.001)
        refused = f", {self.refused:,} refused" if self.refused else ""
        return f"{self.replayed:,} replayed{refused}, {rate:,.0f}/s"


def line(event: ReplayEvent) -> str:
    """One event, for people."""
    words = {
        "replayed": f"run {event.detail}",
        "canary_ok": "its run completed: now the rest",
        "canary_failed": f"the first run did not complete, the rest is left: {event.detail}",
        "same_failure": f"the rest is left: {event.detail}",
        "stopped": f"the rest is left: {event.detail}",
    }
    return f"letter {event.letter_id}  {words.get(event.result, f'{event.result}: {event.detail}')}"


@contextmanager
def news(count: int, tally: Tally) -> Iterator[Callable[[ReplayEvent], None]]:
    """What to call with each event, after the tally has it."""
    out = console(stderr=True)
    if count <= _FEW:
        yield _each
    elif not out.is_terminal:
        yield _Lines(count, tally)
    else:
        columns = (TextColumn("replaying"), BarColumn(30), TaskProgressColumn(), TimeRemainingColumn())
        last = TextColumn("{task.fields[words]}")
        with Progress(*columns, last, console=out, transient=True, refresh_per_second=4) as bar:
            yield _Bar(bar, bar.add_task("", total=count, words=""), tally)


def _each(event: ReplayEvent) -> None:
    say(line(event), stderr=event.result not in ("replayed", "canary_ok"))


def _refusal(event: ReplayEvent, tally: Tally) -> None:
    if event.result == "refused" and tally.refused <= _REFUSALS:
        say(line(event), stderr=True)
        if tally.refused == _REFUSALS:
            say("further refusals are counted only; --json tells each", stderr=True)
    elif event.result not in ("replayed", "refused"):
        say(line(event), stderr=event.result != "canary_ok")


@dataclass
class _Lines:
    """A line on stderr every few seconds."""

    count: int
    tally: Tally
    _told: float = field(default_factory=time.monotonic)

    def __call__(self, event: ReplayEvent) -> None:
        _refusal(event, self.tally)
        if time.monotonic() - self._told >= _QUIET_SECONDS:
            self._told = time.monotonic()
            say(f"{self.tally.words}, {self.count - self.tally.tried:,} to go", stderr=True)


@dataclass
class _Bar:
    bar: Progress
    task: TaskID
    tally: Tally

    def __call__(self, event: ReplayEvent) -> None:
        _refusal(event, self.tally)
        self.bar.update(self.task, completed=self.tally.tried, words=self.tally.words)
