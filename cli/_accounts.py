"""Users, teams and projects of this machine's ledger, as they are named on a command line: by address, slug or id."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from callboard.accounts import projects, teams, users
from callboard.ledger.database import transaction
from cli._options import usage

if TYPE_CHECKING:
    from dataclasses import Field

    from callboard.accounts.projects import Project
    from callboard.accounts.teams import Team
    from callboard.accounts.users import User

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Address of the user, or their id.")]
TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="Slug of the team, or its id.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it stands in the audit.")]


def user(word: str) -> User:
    """The user of that address or id.

    Raises:
        NotFound: There is none.
    """
    user_id = as_id(word)
    with transaction() as connection:
        return users.by_email(connection, word) if user_id is None else users.get(connection, user_id)


def team(word: str) -> Team:
    """The team of that slug or id.

    Raises:
        NotFound: There is none.
    """
    team_id = as_id(word)
    with transaction() as connection:
        return teams.by_slug(connection, word) if team_id is None else teams.get(connection, team_id)


def project(word: str) -> Project:
    """The project that `team/project` or an id names.

    Raises:
        typer.BadParameter: It is neither.
        NotFound: There is none.
    """
    team_slug, slug = split_project(word)
    with transaction() as connection:
        if not team_slug:
            return projects.get(connection, UUID(slug))
        return projects.by_slug(connection, team_slug, slug)


def split_project(word: str) -> tuple[str, str]:
    """The slugs of a team and its project; or nothing, and the project's id.

    Raises:
        typer.BadParameter: It is neither.
    """
    team_slug, _, slug = word.partition("/")
    if team_slug and slug:
        return team_slug, slug
    if as_id(word) is None:
        usage(f"{word!r} names no project: write TEAM/PROJECT, both by their slugs, or its id")
    return "", str(UUID(word))


def as_id(word: str) -> UUID | None:
    """The id that a word is, if it is one."""
    try:
        return UUID(word)
    except ValueError:
        return None


def ask_password(*, from_stdin: bool) -> str:
    """A password: the first line of stdin, or asked for twice without being shown.

    Raises:
        typer.BadParameter: There is nobody to ask, or the two differ.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        usage("there is no terminal to ask for the password on; give it by --stdin, as one line")
    first = getpass.getpass("New password: ")
    if getpass.getpass("The same again: ") != first:
        usage("the two passwords differ")
    return first


def fields(record: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """A record as the row of a table."""
    named: dict[str, Field[Any]] = record.__dataclass_fields__
    return {name: getattr(record, name) for name in named}
