"""`callboard connections`: which users' documents are read, at GitHub, Notion, Google Drive and OneDrive."""

from datetime import UTC, datetime, time
from typing import Annotated
from uuid import UUID

import typer

from callboard.errors import CallboardError
from callboard.exits import Exit
from callboard.ledger.database import transaction
from cli import _times
from cli._accounts import as_id
from cli._catalogues import FromStdin, OfTenant, Tenant, Why, ask_secret, changing, named, note
from cli._ids import short
from cli._options import AsJson, Limit, application, usage
from cli._output import Column, Row, say, show, state
from cli._watch import watch

app = application(
    no_args_is_help=True, help="List, add, change and sync connections: GitHub, Notion, Google Drive, OneDrive."
)

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its id.")]


def _last(row: Row) -> str:
    if row["last_status"] is None:
        return "never"
    return f"{row['last_status'].lower()} {_times.relative(row['last_sync_at'], _times.now())}"


def _failed(row: Row) -> str:
    return f"{row['id']} could not be synced: {row['last_error'] or 'its token was refused'}"


_COLUMNS = (
    Column("connection", lambda row: str(row["id"]), keep=True),
    Column("state", lambda row: state(row["status"]), keep=True),
    Column("provider", lambda row: row["provider"], keep=True),
    Column("tenant", lambda row: row["tenant"]),
    Column("user", lambda row: row["user"]),
    Column("last sync", _last),
    Column("syncs", lambda row: row["frequency"].lower()),
    Column("due", lambda row: _times.relative(row["next_scheduled_sync"], _times.now())),
    Column("of", lambda row: row["options"].get("repository", "")),
)


@app.command("list")
def list_connections(*, tenant: Tenant = None, limit: Limit = 500, as_json: AsJson = False) -> None:
    """List connections by tenant and user, without their tokens; below, what keeps one from syncing."""
    from actors.memory import tenants  # noqa: PLC0415 - a catalogue: it declares jobs
    from actors.memory.syncs import connections  # noqa: PLC0415 - see above

    tenant_id = None if tenant is None else named(tenants.named, "tenant", tenant)["id"]
    with transaction() as connection:
        rows: list[Row] = [dict(row) for row in connections.listing(connection, tenant=tenant_id, limit=limit)]
    show(rows, _COLUMNS, as_json=as_json, empty="No connection fits: `callboard connections add` makes one.")
    for row in rows if not as_json else ():
        if row["status"] == "needs_reauth":
            say(f"{_failed(row)}. `callboard connections token {row['id']}` asks for a new token.")
        elif row["last_status"] == "FAILED":
            say(f"{_failed(row)}.")


@app.command()
def add(  # noqa: PLR0913 - each is something that there is to say of a connection
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="github, notion, google_drive or onedrive.")],
    *,
    tenant: OfTenant,
    user: Annotated[str, typer.Option(metavar="USER", help="Whose memories are made of it: address or id.")],
    repository: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="Of GitHub, which one.")] = None,
    project: Annotated[str | None, typer.Option(metavar="ID", help="Which project the memories belong to.")] = None,
    environment: Annotated[
        str, typer.Option(metavar="NAME", help="development, staging or production.")
    ] = "production",
    frequency: Annotated[
        str, typer.Option(metavar="WORD", help="realtime (every 5 minutes), hourly, daily, weekly or manual.")
    ] = "hourly",
    at: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="When in the tenant's day daily and weekly syncs are due.")
    ] = None,
    stdin: FromStdin = False,
    why: Why = "",
) -> None:
    """Read a user's documents at a provider, at once and whenever they are due.

    Asks for the access token of GitHub and Notion, for the refresh token of Google Drive and OneDrive.
    """
    from actors.memory import tenants, users  # noqa: PLC0415 - see above
    from actors.memory.syncs import connections  # noqa: PLC0415 - see above

    if provider not in connections.TOKENS:
        usage(f"PROVIDER {provider!r}: it must be one of {', '.join(connections.TOKENS)}")
    owner = named(tenants.named, "tenant", tenant)
    person = named(lambda connection, word: users.named(connection, owner["id"], word), "user", user)
    new = connections.NewConnection(
        tenant_id=owner["id"],
        user_id=person["id"],
        provider=provider,
        repository=repository,
        project_id=_project(project),
        environment=environment,
        frequency=frequency.upper(),
        at=_time(at),
    )
    token = ask_secret(connections.TOKENS[provider], from_stdin=stdin)
    with changing() as connection:
        made = connections.add_connection(connection, new, token, now=datetime.now(UTC))
        note(connection, "connection.add", str(made), why, tenant=owner["id"], provider=provider)
    say(f"{provider} of {person['email']} is connected: {made}")
    say(f"`callboard connections sync {made} --wait` tries it.")


@app.command()
def disable(connection: Name, *, why: Why = "") -> None:
    """Sync a connection no more; what it brought, its token and its place are kept."""
    from actors.memory.syncs import connections  # noqa: PLC0415 - see above

    row = named(connections.named, "connection", connection)
    with changing() as ledger:
        connections.disable(ledger, row["id"])
        note(ledger, "connection.disable", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['provider']} of {row['user']} is synced no more.")


@app.command()
def enable(connection: Name, *, why: Why = "") -> None:
    """Sync a connection again, with the token that it has, from where it was left."""
    from actors.memory.syncs import connections  # noqa: PLC0415 - see above

    row = named(connections.named, "connection", connection)
    with changing() as ledger:
        connections.enable(ledger, row["id"], now=datetime.now(UTC))
        note(ledger, "connection.enable", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['provider']} of {row['user']} is synced again.")


@app.command()
def token(connection: Name, *, stdin: FromStdin = False, why: Why = "") -> None:
    """Ask for a new token of a connection; one that the provider refused is synced again with it."""
    from actors.memory.syncs import connections  # noqa: PLC0415 - see above

    row = named(connections.named, "connection", connection)
    given = ask_secret(connections.TOKENS[row["provider"]], from_stdin=stdin)
    with changing() as ledger:
        connections.replace_token(ledger, row, given, now=datetime.now(UTC))
        note(ledger, "connection.token", str(row["id"]), why, tenant=row["tenant_id"])
    disabled = " It is disabled still." if row["status"] == "disabled" else ""
    say(f"{row['provider']} of {row['user']} has a new token.{disabled}")


@app.command()
def sync(
    connection: Name,
    *,
    full: Annotated[bool, typer.Option("--full", help="Read everything anew, not only what changed.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Until it has ended.")] = False,
    why: Why = "",
) -> None:
    """Sync a connection now; where a sync is under way already, it is that one."""
    from actors.memory.syncs import connections, requests  # noqa: PLC0415 - see above

    row = named(connections.named, "connection", connection)
    _require_active(row)
    with changing() as ledger:
        job = requests.request_sync(ledger, row["id"], type="FULL" if full else "INCREMENTAL", now=datetime.now(UTC))
        run = requests.run_of(ledger, job)
        note(ledger, "connection.sync", str(row["id"]), why, tenant=row["tenant_id"], sync_job=str(job))
    if not wait:
        say(f"{row['provider']} of {row['user']} is being synced: callboard run show {short(run)}")
    elif watch(run)["state"] != "completed":
        raise typer.Exit(Exit.FAILED)


def _require_active(row: Row) -> None:
    verb = {"disabled": "enable", "needs_reauth": "token"}.get(row["status"])
    if verb is not None:
        raise CallboardError(f"{row['id']} is {row['status']}: `callboard connections {verb} {row['id']}` first.")


def _project(word: str | None) -> UUID | None:
    found = None if word is None else as_id(word)
    if word is not None and found is None:
        usage(f"--project {word!r} is no id")
    return found


def _time(word: str | None) -> time | None:
    try:
        return None if word is None else time.fromisoformat(word)
    except ValueError:
        usage(f"--at {word!r} is no time of day; write it as 07:30")
