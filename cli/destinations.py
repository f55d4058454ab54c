"""`callboard destinations`: where a tenant's audit rows are forwarded to."""

from typing import Annotated

import typer
from rich.text import Text

from callboard.arguments import parse_arguments
from callboard.ledger.database import transaction
from cli import _times
from cli._catalogues import FromStdin, OfTenant, Tenant, Why, ask_secret, changing, named, note
from cli._options import AsJson, Limit, application
from cli._output import Column, Row, say, show, state

app = application(
    no_args_is_help=True, help="List, add and change destinations of audit rows: Splunk, Datadog, your own."
)

Name = Annotated[str, typer.Argument(metavar="DESTINATION", help="Its id.")]


def _state(row: Row) -> Text:
    return state("disabled" if not row["active"] else "stuck" if row["stuck_batch"] else "active")


def _stuck(row: Row) -> str:
    return (
        f"{row['id']} would not take a batch: {row['last_error']}. `callboard trigger siem_forward_batch --arg "
        f"destination={row['id']}` sends it again, `callboard trigger siem_skip_batch --arg batch={row['stuck_batch']}`"
        " goes on without it."
    )


_COLUMNS = (
    Column("destination", lambda row: str(row["id"]), keep=True),
    Column("state", _state, keep=True),
    Column("kind", lambda row: row["kind"], keep=True),
    Column("tenant", lambda row: row["tenant"]),
    Column("last success", lambda row: _times.relative(row["last_success_at"], _times.now()) or "never"),
    Column("categories", lambda row: " ".join(row["categories"])),
    Column("url", lambda row: row["url"]),
)


@app.command("list")
def list_destinations(*, tenant: Tenant = None, limit: Limit = 500, as_json: AsJson = False) -> None:
    """List destinations by tenant, without their tokens; one that is stuck waits for what to do with a batch."""
    from actors.memory import endpoints, tenants  # noqa: PLC0415 - a catalogue: it declares jobs
    from actors.memory.siem import destinations  # noqa: PLC0415 - see above

    tenant_id = None if tenant is None else named(tenants.named, "tenant", tenant)["id"]
    with transaction() as connection:
        found = destinations.listing(connection, tenant=tenant_id, limit=limit)
    rows: list[Row] = [{**row, "url": endpoints.shown(row["url"])} for row in found]
    show(rows, _COLUMNS, as_json=as_json, empty="No destination fits: `callboard destinations add` makes one.")
    for row in rows if not as_json else ():
        if row["stuck_batch"] is not None:
            say(_stuck(row))


@app.command()
def add(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="splunk, datadog or custom.")],
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Of the collector or intake; of custom, the endpoint itself.")
    ],
    *,
    tenant: OfTenant,
    category: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="auth, security, data, org or api; all if none is given. May be repeated."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Of Splunk: index, sourcetype, source, host. Of Datadog: service, env, source, host.",
        ),
    ] = None,
    stdin: FromStdin = False,
    why: Why = "",
) -> None:
    """Forward a tenant's audit rows, all that there are, to one more place.

    Its token is asked for: Splunk's HEC token, Datadog's API key, or what signs to a custom one (`whsec_...`).
    """
    from actors.memory import tenants  # noqa: PLC0415 - see above
    from actors.memory.siem import add_destination  # noqa: PLC0415 - see above
    from actors.memory.tables.outgoing import AUDIT_CATEGORIES  # noqa: PLC0415 - see above

    owner = named(tenants.named, "tenant", tenant)
    token, options = ask_secret("token", from_stdin=stdin), parse_arguments(option or [])
    with changing() as connection:
        made = add_destination(
            connection,
            tenant_id=owner["id"],
            kind=kind,
            url=url,
            token=token,
            options=options,
            categories=category or AUDIT_CATEGORIES,
        )
        note(connection, "destination.add", str(made), why, tenant=owner["id"], kind=kind)
    say(f"Audit rows of {owner['name']} are forwarded to it within five minutes: {made}")


@app.command()
def disable(destination: Name, *, why: Why = "") -> None:
    """Forward nothing to a destination; its place is kept."""
    _switch(destination, why, active=False)


@app.command()
def enable(destination: Name, *, why: Why = "") -> None:
    """Forward to a destination again, from where it was left."""
    _switch(destination, why, active=True)


def _switch(word: str, why: str, *, active: bool) -> None:
    from actors.memory.siem import destinations  # noqa: PLC0415 - see above

    row = named(destinations.named, "destination", word)
    verb = "enable" if active else "disable"
    with changing() as connection:
        destinations.switch(connection, row["id"], active=active)
        note(connection, f"destination.{verb}", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['kind']} of {row['tenant']} is {verb}d.")


@app.command()
def token(destination: Name, *, stdin: FromStdin = False, why: Why = "") -> None:
    """Ask for a new token of a destination; it replaces the one before at once."""
    from actors.memory.siem import destinations  # noqa: PLC0415 - see above

    row = named(destinations.named, "destination", destination)
    given = ask_secret("token", from_stdin=stdin)
    with changing() as connection:
        destinations.replace_token(connection, row, given)
        note(connection, "destination.token", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['kind']} of {row['tenant']} has a new token.")
