"""Which dead letters a command means: by id, or by a filter that is counted before anything is done."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from callboard.errors import NotFound
from callboard.filters import parse
from callboard.ledger import tables
from cli._options import age, usage
from cli.board import board

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from callboard.filters import Filter
    from cli.board._port import Letters

Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID... | FILTER...", help="Ids of letters; or a filter, e.g. issue:12 'job:sync_*'."),
]
FilterWords = Annotated[
    list[str] | None, typer.Argument(metavar="FILTER...", help="A filter, e.g. issue:12 'job:sync_*' 'age:>2h'.")
]
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
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; kept with the letter and in the audit.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before doing it to more than one.")]

#: Letters named one by one in a question or a dry run; more are counted.
_NAMED = 10


@dataclass(frozen=True)
class ById:
    """Letters named one by one, whatever became of them."""

    ids: tuple[int, ...]

    @property
    def text(self) -> str:
        """As a filter would say it."""
        return f"id:{','.join(map(str, self.ids))} state:*"

    def where(self, now: ColumnElement[datetime] | None = None) -> list[ColumnElement[bool]]:  # noqa: ARG002 - no age
        """The condition, for a query on `tables.dead_letters`."""
        return [tables.dead_letters.c.id.in_(self.ids)]


def filter_of(
    words: list[str] | None = None,
    *,
    job: str | None = None,
    error: str | None = None,
    kind: str | None = None,
    older_than: str | None = None,
    newer_than: str | None = None,
) -> Filter:
    """The filter that words and options say together.

    Raises:
        FilterError: A word cannot be read.
        typer.BadParameter: An age cannot.
    """
    found = parse(" ".join(words or ()), "dead_letters")
    for key, op, value in (
        ("job", "", job),
        ("error", "", error),
        ("kind", "", kind),
        ("age", ">", _age(older_than, "--older-than")),
        ("age", "<", _age(newer_than, "--newer-than")),
    ):
        if value is not None:
            found = found.and_(key, value, op=op)
    return found


def _age(word: str | None, option: str) -> str | None:
    age(word, option)
    return None if word is None else "".join(word.split())


def chosen(words: list[str] | None, *, everything: bool, **given: str | None) -> Letters:
    """The letters that a command shall change; never all of them by accident.

    Letters named by id are meant whatever became of them, so that one already settled is refused with its story.

    Raises:
        typer.BadParameter: Nothing was chosen, or ids and a filter at once.
        FilterError: The filter cannot be read.
        NotFound: A letter of that id does not exist.
    """
    ids = [int(word) for word in words or () if word.isdecimal()]
    filtered = len(ids) < len(words or ()) or any(value is not None for value in given.values())
    if bool(ids) + filtered + everything != 1:
        usage(
            "choose letters by their ids, or by a filter (issue:12, --job, --error, --kind, --older-than, "
            "--newer-than), or by --all"
        )
    if not ids:
        return _without_text(filter_of(words, **given))
    for letter_id in ids:
        board().letter(letter_id)
    return ById(tuple(dict.fromkeys(ids)))


def _without_text(found: Filter) -> Filter:
    """The filter: a word without a key is more likely a slip than text to look for, where letters are changed by it."""
    for term in found.terms:
        if term.key == "text":
            usage(
                f"{term.value!r} is no id and no word such as issue:12; errors are searched with 'error:{term.value}'"
            )
    return found


def number(word: str) -> int:
    """The id that somebody wrote.

    Raises:
        typer.BadParameter: It is no number.
    """
    if not word.isdecimal():
        usage(f"{word!r} is no id of a letter: `callboard dead-letters list` shows their numbers")
    return int(word)


def require(which: Letters, count: int) -> int:
    """The number of letters that are meant, which is not 0.

    Raises:
        NotFound: No open letter fits.
    """
    meant = len(which.ids) if isinstance(which, ById) else count
    if meant == 0:
        raise NotFound("No open dead letter fits: `callboard dead-letters list` shows those there are.")
    return meant


def named(which: Letters, count: int) -> str:
    """`3 letters: 4, 7, 9`."""
    first = list(which.ids) if isinstance(which, ById) else board().letter_ids(which, _NAMED + 1)
    shown = ", ".join(map(str, first[:_NAMED])) + (", ..." if len(first) > _NAMED else "")
    return f"{count:,} letter{'s' if count > 1 else ''}" + (f": {shown}" if shown else "")


def confirm(verb: str, which: Letters, count: int, *, yes: bool) -> None:
    """Ask before more than one letter is changed.

    Raises:
        typer.BadParameter: There is nobody to ask, and no --yes.
        typer.Abort: The answer was no.
    """
    if count == 1 or yes:
        return
    if not sys.stdin.isatty():
        usage(f"this would {verb} {named(which, count)}; add --yes to do it, or --dry-run to see it")
    typer.confirm(f"{verb.capitalize()} {named(which, count)}?", abort=True)
