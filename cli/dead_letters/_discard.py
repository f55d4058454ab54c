"""`callboard dead-letters discard`."""

from typing import TYPE_CHECKING

import typer

from callboard.errors import ReplayRefused
from callboard.exits import Exit
from cli._output import say
from cli.board import board
from cli.dead_letters._plan import print_plan
from cli.dead_letters._select import (
    ById,
    DryRun,
    ErrorFilter,
    Every,
    JobFilter,
    KindFilter,
    NewerThan,
    OlderThan,
    Why,
    Words,
    Yes,
    chosen,
    confirm,
    require,
)

if TYPE_CHECKING:
    from cli.board._port import Letters


def discard(  # noqa: PLR0913 - the command's options
    words: Words = None,
    *,
    job: JobFilter = None,
    error: ErrorFilter = None,
    kind: KindFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Every = False,
    why: Why = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give dead letters up for good; their rows stay, to be looked at."""
    which = chosen(
        words, everything=everything, job=job, error=error, kind=kind, older_than=older_than, newer_than=newer_than
    )
    plan = board().plan(which)
    count = require(which, plan.count)
    if dry_run:
        print_plan("discard", which, plan)
        return
    confirm("discard", which, count, yes=yes)
    discarded, refused = _by_id(which, why) if isinstance(which, ById) else _all(which, why)
    say(f"{discarded:,} discarded, {refused:,} refused.")
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def _all(which: "Letters", why: str) -> tuple[int, int]:
    return board().discard_many(which, why), 0


def _by_id(which: ById, why: str) -> tuple[int, int]:
    refused = 0
    for letter_id in which.ids:
        try:
            board().discard(letter_id, why)
        except ReplayRefused as error:
            say(str(error), stderr=True)
            refused += 1
    return len(which.ids) - refused, refused
