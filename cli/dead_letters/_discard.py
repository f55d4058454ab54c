"""`callboard dead-letters discard`."""

import typer

from callboard.errors import ReplayRefused
from callboard.exits import Exit
from callboard.ledger.dead_letters import Choice
from callboard.operations import letters
from cli._options import who
from cli._output import say
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
    plan = letters.plan(which)
    count = require(which, plan.count)
    if dry_run:
        print_plan("discard", which, plan)
        return
    confirm("discard", which, count, yes=yes)
    discarded, refused = _by_id(which, why) if isinstance(which, ById) else _all(which, why)
    say(f"{discarded:,} discarded, {refused:,} refused.")
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def _all(which: Choice, why: str) -> tuple[int, int]:
    return letters.discard_many(which, who=who(), why=why), 0


def _by_id(which: ById, why: str) -> tuple[int, int]:
    refused = 0
    for letter_id in which.ids:
        try:
            letters.discard(letter_id, who=who(), why=why)
        except ReplayRefused as error:
            say(str(error), stderr=True)
            refused += 1
    return len(which.ids) - refused, refused
