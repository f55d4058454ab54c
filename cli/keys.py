"""`callboard keys`: what programs come in with."""

from typing import Annotated

import typer

from callboard.accounts import principal
from callboard.accounts.permissions import SCOPES
from callboard.errors import Forbidden
from callboard.ledger.database import transaction
from callboard.operations import accounts
from cli import _times
from cli._accounts import Why, fields, team, user
from cli._options import AsJson, age, application, who
from cli._output import Column, say, show, state
from cli.board import board, here_only

app = application(no_args_is_help=True, help="List, create and revoke API keys.")

_COLUMNS = (
    Column("key", lambda row: f"{row['prefix']}…", keep=True),
    Column("name", lambda row: row["name"]),
    Column("owner", lambda row: row["owner"]),
    Column("team", lambda row: row["team"] or "-"),
    Column("scopes", lambda row: " ".join(row["scopes"]), keep=True),
    Column("state", lambda row: state(row["state"]), keep=True),
    Column("expires", lambda row: _times.relative(row["expires_at"], _times.now()) or "never"),
    Column("last used", lambda row: _times.relative(row["last_used_at"], _times.now()) or "never"),
)


@app.command("list")
def list_keys(
    *,
    owner: Annotated[str | None, typer.Option("--user", metavar="EMAIL", help="Only those of this user.")] = None,
    of: Annotated[str | None, typer.Option("--team", metavar="TEAM", help="Only those of this team.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first; only their first characters are known."""
    user_id = None if owner is None else board().user(owner).id
    rows = [fields(key) for key in board().keys(user_id, of, everything=everything)]
    show(rows, _COLUMNS, as_json=as_json, empty="No key fits: `callboard keys create NAME --user EMAIL` makes one.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    *,
    owner: Annotated[str, typer.Option("--user", metavar="EMAIL", help="Whose it is: it may do no more than they.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="SCOPE", help=f"One of {', '.join(SCOPES)}; jobs:read if none is given."),
    ] = None,
    of: Annotated[str | None, typer.Option("--team", metavar="TEAM", help="The only team that it reaches.")] = None,
    expires: Annotated[str | None, typer.Option("--expires-in", metavar="AGE", help="How long it is good for.")] = None,
    why: Why = "",
) -> None:
    """Make a key and print it, this once; all else goes to stderr."""
    here_only("making a key")
    whose, good_for = user(owner), age(expires, "--expires-in")
    team_id = None if of is None else team(of).id
    with transaction() as connection:
        acting = principal.load(connection, whose.id)
    if acting is None:
        raise Forbidden(f"{whose.email} is disabled: `callboard users enable {whose.email}` comes first.")
    text, key = accounts.create_key(
        acting, name, scope or ["jobs:read"], team_id=team_id, expires_in=good_for, who=who(), why=why
    )
    until = "until it is revoked" if key.expires_at is None else f"until {_times.clock(key.expires_at, _times.now())}"
    say(f"{key.name} may {' '.join(key.scopes)} as {key.owner}, {until}. It is shown this once:", stderr=True)
    typer.echo(text)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its first characters as listed, or its id.")],
    *,
    why: Why = "",
) -> None:
    """End a key for good."""
    gone = board().revoke_key(name.rstrip("…"), why)
    say(f"The key {gone.prefix}… ({gone.name}) is revoked.")
