"""`callboard dead-letters discard`."""

import typer

from callboard.errors import ReplayRefused
from callboard.exits import Exit
from callboard.replay import discard as discard_one
from cli._options import operator
from cli._output import say
from cli.dead_letters._select import (
    DryRun,
    ErrorFilter,
    Every,
    Ids,
    JobFilter,
    KindFilter,
    NewerThan,
    OlderThan,
    Yes,
    chosen,
    confirm,
    found,
    named,
)


def discard(  # noqa: PLR0913 - the command's options
    ids: Ids = None,
    *,
    job: JobFilter = None,
    error: ErrorFilter = None,
    kind: KindFilter = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    everything: Every = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give dead letters up for good; their rows stay, to be looked at."""
    letters = found(
        chosen(
            ids, everything=everything, job=job, error=error, kind=kind, older_than=older_than, newer_than=newer_than
        )
    )
    if dry_run:
        say(f"Would discard {named(letters)}")
        return
    confirm("discard", letters, yes=yes)
    refused = [letter for letter in letters if not _discarded(letter)]
    say(f"{len(letters) - len(refused)} discarded, {len(refused)} refused.")
    raise typer.Exit(Exit.FAILED if refused else Exit.OK)


def _discarded(letter: int) -> bool:
    try:
        discard_one(letter, by=operator())
    except ReplayRefused as error:
        say(str(error), stderr=True)
        return False
    return True
