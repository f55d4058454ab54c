"""`callboard integrations`: which projects of the revenue catalogue are synced with RevenueCat, and by which key."""

from typing import Annotated

import typer

from callboard.ledger.database import transaction
from cli._catalogues import FromStdin, Why, ask_secret, changing, named, note
from cli._options import AsJson, Limit, application
from cli._output import Column, Row, say, show, state

app = application(no_args_is_help=True, help="List, connect and disconnect RevenueCat of the revenue catalogue.")

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Its id, or its name if no other has it.")]

_COLUMNS = (
    Column("project", lambda row: str(row["project_id"]), keep=True),
    Column("state", lambda row: state("active" if row["enabled"] else "disabled"), keep=True),
    Column("team", lambda row: row["team"]),
    Column("name", lambda row: row["project"]),
    Column("provider", lambda row: row["provider"]),
    Column("its id there", lambda row: row["provider_project"] or "-"),
)


@app.command("list")
def list_integrations(*, limit: Limit = 500, as_json: AsJson = False) -> None:
    """List integrations by team and project, without their keys."""
    from actors.revenue import users  # noqa: PLC0415 - a catalogue: it declares jobs

    with transaction() as connection:
        rows: list[Row] = [dict(row) for row in users.integrations(connection, limit=limit)]
    show(rows, _COLUMNS, as_json=as_json, empty="No project is connected: `callboard integrations connect PROJECT`.")


@app.command()
def connect(
    project: Project,
    *,
    theirs: Annotated[
        str | None,
        typer.Option("--their-project", metavar="ID", help="RevenueCat's id of it; else the first that the key sees."),
    ] = None,
    stdin: FromStdin = False,
    why: Why = "",
) -> None:
    """Ask for a project's secret key of RevenueCat (API version 2); it replaces the one before."""
    from actors.revenue import users  # noqa: PLC0415 - see above

    row = named(users.projects_named, "project", project)
    key = ask_secret("secret key of RevenueCat", from_stdin=stdin)
    with changing() as connection:
        users.connect(connection, row["id"], key, {"project_id": theirs} if theirs else None)
        note(connection, "integration.connect", str(row["id"]), why, provider=users.PROVIDER)
    say(f"{row['name']} is connected: `callboard trigger revenuecat_sync --arg project_id={row['id']}` syncs it now.")


@app.command()
def disconnect(project: Project, *, why: Why = "") -> None:
    """Forget a project's key of RevenueCat; its users keep the properties they have."""
    from actors.revenue import users  # noqa: PLC0415 - see above

    row = named(users.projects_named, "project", project)
    with changing() as connection:
        users.disconnect(connection, row["id"])
        note(connection, "integration.disconnect", str(row["id"]), why, provider=users.PROVIDER)
    say(f"{row['name']} is synced no more.")
