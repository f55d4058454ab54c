"""Follow a run until it ends: a progress bar on a terminal, a line for each news elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli import runs
from cli._output import Row, console, say, state
from cli.board import board, is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

#: The worker writes progress twice a second.
_POLL_SECONDS, _FAR_POLL_SECONDS = 0.25, 1.0
_ENDED = ("completed", "failed", "cancelled")
_Display = "Callable[[Row], None]"


def watch(run_id: UUID) -> dict[str, Any]:
    """Show the run's progress until it has ended, and return its row."""
    at = board()
    with _display() as display:
        while True:
            run = dict(at.run(str(run_id)))
            if run["state"] in _ENDED:
                break
            display(run)
            time.sleep(_FAR_POLL_SECONDS if is_remote() else _POLL_SECONDS)
    say(_ending(run))
    return run


def _ending(run: Row) -> Text:
    took = runs.took(run)
    after = "" if took is None else f" in {took:.1f} s"
    line = Text.assemble(run["job"], " ", state(run["state"]), after, "  ", runs.summary(run))
    line.append(f"  run {run['id']}", style="dim")
    return line


@contextmanager
def _display() -> Iterator[Callable[[Row], None]]:
    out = console(stderr=True)
    if not out.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(30), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.fields[message]}"), console=out, transient=True, refresh_per_second=4
    ) as bar:
        yield _Bar(bar)


class _Lines:
    """One line on stderr for each state or progress that was not told yet."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, run: Row) -> None:
        progress = runs.progress_of(run["progress"]) if run["progress"] else ""
        line = f"{run['state']} {progress}".rstrip()
        if line != self._told:
            say(f"{run['job']} {line}", stderr=True)
            self._told = line


class _Bar:
    """A bar that pulses while the total is unknown."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("pending", total=None, message="")

    def __call__(self, run: Row) -> None:
        progress = run["progress"] or {}
        again = f" (attempt {run['attempt'] + 1} follows)" if run["state"] == "pending" and run["attempt"] else ""
        self._bar.update(
            self._task,
            description=f"{run['job']} {run['state']}{again}",
            total=progress.get("total") or None,
            completed=progress.get("processed", 0),
            message=progress.get("message") or "",
        )
