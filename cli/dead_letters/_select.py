"""Which dead letters a command means: by id, or by a filter that is counted before anything is done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from callboard.errors import NotFound
from callboard.ledger import dead_letters
from callboard.ledger.database import transaction
from cli._options import age, usage

if TYPE_CHECKING:
    from callboard.ledger.dead_letters import Filter

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of letters; or choose by the options.")]
JobFilter = Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only letters of this job.")]
ErrorFilter = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only letters whose error holds this text.")
]
KindFilter = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="Only this kind: authentication, transient, runtime or poison."),
]
OlderThan = Annotated[str | None, typer.Option("--older-than", metavar="AGE", help="Only older ones, e.g. 2h or 3d.")]
NewerThan = Annotated[str | None, typer.Option("--newer-than", metavar="AGE", help="Only newer ones, e.g. 2h or 3d.")]
Every = Annotated[bool, typer.Option("--all", help="All open letters.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before doing it to more than one.")]

#: Letters named one by one in a question or a dry run; more are counted.
_NAMED = 10


def filter_of(**given: Any) -> Filter:  # noqa: ANN401 - the options by name, as Typer read them
    """The filter that the options job, error, kind, older_than, newer_than and state say."""
    given["older_than"] = age(given.get("older_than"), "--older-than")
    given["newer_than"] = age(given.get("newer_than"), "--newer-than")
    return dead_letters.Filter(**given)


def chosen(words: list[str] | None, *, everything: bool, **given: Any) -> Filter:  # noqa: ANN401 - the options by name
    """The letters that a command shall change; never all of them by accident.

    Letters named by id are meant whatever became of them, so that one already settled is refused with its story.

    Raises:
        typer.BadParameter: Nothing was chosen, or ids and a filter at once.
        NotFound: A letter of that id does not exist.
    """
    filtered = any(value is not None for value in given.values())
    ids = [number(word) for word in words or ()]
    if bool(ids) + (filtered or everything) != 1:
        usage("choose letters by their ids, or by --job, --error, --kind, --older-than, --newer-than, or by --all")
    if not ids:
        return filter_of(**given)
    with transaction() as connection:
        for letter_id in ids:
            dead_letters.get(connection, letter_id)
    return dead_letters.Filter(ids=tuple(ids), state=None)


def number(word: str) -> int:
    """The id that somebody wrote.

    Raises:
        typer.BadParameter: It is no number.
    """
    if not word.isdecimal():
        usage(f"{word!r} is no id of a letter: `callboard dead-letters list` shows their numbers")
    return int(word)


def found(which: Filter) -> list[int]:
    """The ids of the letters that fit, oldest first.

    Raises:
        NotFound: None does.
    """
    with transaction() as connection:
        ids = dead_letters.ids(connection, which)
    if not ids:
        raise NotFound("No open dead letter fits: `callboard dead-letters list` shows those there are.")
    return ids


def named(ids: list[int]) -> str:
    """`3 letters: 4, 7, 9`."""
    shown = ", ".join(map(str, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")
    return f"{len(ids)} letter{'s' if len(ids) > 1 else ''}: {shown}"


def confirm(verb: str, ids: list[int], *, yes: bool) -> None:
    """Ask before more than one letter is changed.

    Raises:
        typer.BadParameter: There is nobody to ask, and no --yes.
        typer.Abort: The answer was no.
    """
    if len(ids) == 1 or yes:
        return
    if not sys.stdin.isatty():
        usage(f"this would {verb} {named(ids)}; add --yes to do it, or --dry-run to see it")
    typer.confirm(f"{verb.capitalize()} {named(ids)}?", abort=True)
