"""`callboard projects`: projects of teams, to which runs belong."""

from typing import Annotated

import typer

from callboard.accounts import projects
from callboard.ledger.database import transaction
from callboard.operations import accounts
from cli import _times
from cli._accounts import TeamName, Why, fields, project, team
from cli._options import AsJson, application, who
from cli._output import Column, say, show

app = application(no_args_is_help=True, help="List projects, make and delete them.")

Name = Annotated[str, typer.Argument(metavar="TEAM/PROJECT", help="Slugs of both, or the project's id.")]
_COLUMNS = (
    Column("project", lambda row: f"{row['team']}/{row['slug']}", keep=True),
    Column("name", lambda row: row["name"]),
    Column("since", lambda row: _times.relative(row["created_at"], _times.now())),
    Column("id", lambda row: str(row["id"]), keep=True),
)


@app.command("list")
def list_projects(
    *,
    of: Annotated[str | None, typer.Option("--team", metavar="TEAM", help="Only those of this team.")] = None,
    as_json: AsJson = False,
) -> None:
    """List projects by team; their ids are what jobs take as project_id."""
    chosen = None if of is None else [team(of).id]
    with transaction() as connection:
        rows = [fields(found) for found in projects.listing(connection, chosen)]
    show(rows, _COLUMNS, as_json=as_json, empty="There is no project: `callboard projects add TEAM NAME` makes one.")


@app.command()
def add(
    of: TeamName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    *,
    slug: Annotated[
        str | None, typer.Option(metavar="SLUG", help="As it is typed; made of the name otherwise.")
    ] = None,
    why: Why = "",
) -> None:
    """Make a project."""
    made = accounts.create_project(team(of).id, name, slug=slug, who=who(), why=why)
    say(f"The project {made.team}/{made.slug} is there; jobs take it as project_id={made.id}")


@app.command()
def rename(
    name: Name, to: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")], *, why: Why = ""
) -> None:
    """Change a project's name; its slug stays."""
    changed = accounts.rename_project(project(name).id, to, who=who(), why=why)
    say(f"The project {changed.team}/{changed.slug} is now called {changed.name}.")


@app.command()
def delete(name: Name, *, why: Why = "") -> None:
    """Hide a project with its runs; nothing is erased."""
    gone = accounts.delete_project(project(name).id, who=who(), why=why)
    say(f"The project {gone.team}/{gone.slug} is deleted; its runs stay in the ledger.")
