"""`callboard users`: who can sign in, and as what."""

from typing import Annotated

import typer

from callboard.accounts import sign_in
from callboard.accounts.sign_in import MOST_MINUTES
from callboard.ledger.account_tables import BOARD_ROLES
from callboard.operations import accounts
from cli import _times
from cli._accounts import Email, Why, ask_password, fields, user
from cli._options import AsJson, Limit, application, who
from cli._output import Column, Row, say, show, state
from cli.board import board, here_only

app = application(no_args_is_help=True, help="List users, let somebody in, and change what they may.")

_ROLES = f"{', '.join(BOARD_ROLES)} or none"


def _seen(row: Row) -> str:
    return _times.relative(row["last_sign_in_at"], _times.now()) or "never"


_COLUMNS = (
    Column("email", lambda row: row["email"], keep=True),
    Column("name", lambda row: row["name"]),
    Column("role", lambda row: row["role"] or "-", keep=True),
    Column("state", lambda row: state("disabled" if row["disabled_at"] else "active")),
    Column("signs in by", lambda row: "password" if row["has_password"] else "link"),
    Column("last sign-in", _seen),
)


@app.command("list")
def list_users(
    *,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only those with this in address or name.")] = None,
    limit: Limit = 500,
    as_json: AsJson = False,
) -> None:
    """List users by address."""
    rows = [fields(found) for found in board().users(search, limit)]
    show(rows, _COLUMNS, as_json=as_json, empty="No user fits: `callboard users add EMAIL` lets somebody in.")


@app.command()
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Their address.")],
    *,
    name: Annotated[str, typer.Option(metavar="TEXT", help="As they are shown.")] = "",
    role: Annotated[str, typer.Option(metavar="ROLE", help=f"On the whole board: {_ROLES}.")] = "none",
    why: Why = "",
) -> None:
    """Let somebody in, without a password."""
    made = board().add_user(email, name=name, role=_role(role), why=why)
    say(f"{made.email} is {made.role or 'in no board role: they see their teams only'}.")
    say(f"They sign in by `callboard users link {made.email}`, or set a password: `callboard users password`.")


@app.command()
def password(
    email: Email,
    *,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from stdin, one line, instead of asking.")] = False,
) -> None:
    """Ask for a new password; it ends all their sign-ins."""
    here_only("setting a password")
    whose = user(email)
    accounts.set_password(whose.id, ask_password(from_stdin=stdin), who=who())
    say(f"{whose.email} has a new password and is signed out everywhere.")


@app.command()
def role(
    email: Email,
    role_: Annotated[str, typer.Argument(metavar="ROLE", help=f"On the whole board: {_ROLES}.")],
    *,
    why: Why = "",
) -> None:
    """Change what somebody may on the whole board."""
    changed = board().set_role(email, _role(role_), why)
    say(f"{changed.email} is now {changed.role or 'in no board role: they see their teams only'}.")


@app.command()
def disable(email: Email, *, why: Why = "") -> None:
    """Keep somebody out, and their keys, at once."""
    changed = board().set_disabled(email, why, disabled=True)
    say(f"{changed.email} is disabled; `callboard users enable {changed.email}` lets them in again.")


@app.command()
def enable(email: Email, *, why: Why = "") -> None:
    """Let somebody in again, with their keys."""
    changed = board().set_disabled(email, why, disabled=False)
    say(f"{changed.email} is let in again.")


@app.command()
def link(
    email: Email,
    *,
    minutes: Annotated[float, typer.Option(metavar="N", help=f"How long it is good for, {MOST_MINUTES} at most.")] = 10,
) -> None:
    """Print a link that signs somebody in, once."""
    here_only("making a link")
    whose = user(email)
    token = accounts.make_link(whose.id, minutes=minutes, who=who())
    say(f"Signs {whose.email} in once, within {_times.span(60 * minutes)}:", stderr=True)
    typer.echo(sign_in.link_url(token))


def _role(word: str) -> str | None:
    return None if word == "none" else word
