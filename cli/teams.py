"""`callboard teams`: teams and who is in them."""

from typing import Annotated

import typer

from callboard.ledger.account_tables import TEAM_ROLES
from cli import _times
from cli._accounts import Email, TeamName, Why, fields
from cli._options import AsJson, application
from cli._output import Column, say, show, state
from cli.board import board

app = application(no_args_is_help=True, help="List teams, make and delete them, and say who is in them.")

_COLUMNS = (
    Column("team", lambda row: row["slug"], keep=True),
    Column("name", lambda row: row["name"]),
    Column("members", lambda row: str(row["members"]), justify="right"),
    Column("projects", lambda row: str(row["projects"]), justify="right"),
    Column("since", lambda row: _times.relative(row["created_at"], _times.now())),
    Column("id", lambda row: str(row["id"])),
)
_MEMBER_COLUMNS = (
    Column("email", lambda row: row["email"], keep=True),
    Column("name", lambda row: row["name"]),
    Column("role", lambda row: row["role"], keep=True),
    Column("state", lambda row: state("disabled" if row["disabled_at"] else "active")),
    Column("since", lambda row: _times.relative(row["created_at"], _times.now())),
)


@app.command("list")
def list_teams(*, as_json: AsJson = False) -> None:
    """List teams by slug."""
    rows = [fields(found) for found in board().teams()]
    show(rows, _COLUMNS, as_json=as_json, empty="There is no team: `callboard teams add NAME` makes one.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    *,
    slug: Annotated[
        str | None, typer.Option(metavar="SLUG", help="As it is typed; made of the name otherwise.")
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="EMAIL", help="Its first owner.")] = None,
    why: Why = "",
) -> None:
    """Make a team."""
    made = board().add_team(name, slug=slug, owner=owner, why=why)
    say(f"The team {made.slug} is there, id {made.id}.")


@app.command()
def rename(
    name: TeamName, to: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")], *, why: Why = ""
) -> None:
    """Change a team's name; its slug stays."""
    changed = board().rename_team(name, to, why)
    say(f"The team {changed.slug} is now called {changed.name}.")


@app.command()
def delete(name: TeamName, *, why: Why = "") -> None:
    """Hide a team with all it has; nothing is erased."""
    gone = board().delete_team(name, why)
    say(f"The team {gone.slug} is deleted; its rows stay in the ledger, and its keys do nothing.")


@app.command()
def members(name: TeamName, *, as_json: AsJson = False) -> None:
    """List who is in a team."""
    of = board().team(name)
    rows = [fields(found) for found in board().members(of)]
    empty = f"Nobody is in {of.slug}: `callboard teams add-member {of.slug} EMAIL` changes that."
    show(rows, _MEMBER_COLUMNS, as_json=as_json, empty=empty)


@app.command("add-member")
def add_member(
    name: TeamName,
    email: Email,
    *,
    role: Annotated[str, typer.Option(metavar="ROLE", help=f"One of {', '.join(TEAM_ROLES)}.")] = "member",
    why: Why = "",
) -> None:
    """Let somebody into a team, or change their role there."""
    of = board().team(name)
    say(f"{board().set_member(of, email, role, why)} is {role} of {of.slug}.")


@app.command("remove-member")
def remove_member(name: TeamName, email: Email, *, why: Why = "") -> None:
    """Put somebody out of a team, with their keys."""
    of = board().team(name)
    say(f"{board().remove_member(of, email, why)} is no longer in {of.slug}.")
