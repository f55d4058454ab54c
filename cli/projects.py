"""`callboard projects`: projects of teams, to which runs belong."""

from typing import Annotated

import typer

from cli import _times
from cli._accounts import TeamName, Why, fields
from cli._options import AsJson, application
from cli._output import Column, say, show
from cli.board import board

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
    rows = [fields(found) for found in board().projects(of)]
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
    made = board().add_project(of, name, slug=slug, why=why)
    say(f"The project {made.team}/{made.slug} is there; jobs take it as project_id={made.id}")


@app.command()
def rename(
    name: Name, to: Annotated[str, typer.Argument(metavar="NAME", help="Its new name.")], *, why: Why = ""
) -> None:
    """Change a project's name; its slug stays."""
    changed = board().rename_project(name, to, why)
    say(f"The project {changed.team}/{changed.slug} is now called {changed.name}.")


@app.command()
def delete(name: Name, *, why: Why = "") -> None:
    """Hide a project with its runs; nothing is erased."""
    gone = board().delete_project(name, why)
    say(f"The project {gone.team}/{gone.slug} is deleted; its runs stay in the ledger.")
