"""`callboard teams`: teams and who is in them."""

from typing import Annotated

import typer

from callboard.accounts import teams
from callboard.ledger.account_tables import TEAM_ROLES
from callboard.ledger.database import transaction
from callboard.operations import accounts
from cli import _times
from cli._accounts import Email, TeamName, Why, fields, team, user
from cli._options import AsJson, application, who
from cli._output import Column, say, show, state

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
    with transaction() as connection:
        rows = [fields(found) for found in teams.listing(connection)]
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
    first = None if owner is None else user(owner).id
    made = accounts.create_team(name, slug=slug, owner=first, who=who(), why=why)
    say(f"The team {made.slug} is there, id {made.id}.")


@app.command()
def rename(
    name: TeamName, to: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")], *, why: Why = ""
) -> None:
    """Change a team's name; its slug stays."""
    changed = accounts.rename_team(team(name).id, to, who=who(), why=why)
    say(f"The team {changed.slug} is now called {changed.name}.")


@app.command()
def delete(name: TeamName, *, why: Why = "") -> None:
    """Hide a team with all it has; nothing is erased."""
    gone = accounts.delete_team(team(name).id, who=who(), why=why)
    say(f"The team {gone.slug} is deleted; its rows stay in the ledger, and its keys do nothing.")


@app.command()
def members(name: TeamName, *, as_json: AsJson = False) -> None:
    """List who is in a team."""
    of = team(name)
    with transaction() as connection:
        rows = [fields(found) for found in teams.members(connection, of.id)]
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
    of, whom = team(name), user(email)
    accounts.set_member(of.id, whom.id, role, who=who(), principal=None, why=why)
    say(f"{whom.email} is {role} of {of.slug}.")


@app.command("remove-member")
def remove_member(name: TeamName, email: Email, *, why: Why = "") -> None:
    """Put somebody out of a team, with their keys."""
    of, whom = team(name), user(email)
    accounts.remove_member(of.id, whom.id, who=who(), principal=None, why=why)
    say(f"{whom.email} is no longer in {of.slug}.")
