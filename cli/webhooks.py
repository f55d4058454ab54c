"""`callboard webhooks`: which endpoints hear of what happens in a tenant's memories."""

from typing import Annotated, Any
from uuid import UUID

import typer

from callboard.arguments import parse_arguments
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

app = application(no_args_is_help=True, help="List, register, change and test webhooks of the memory catalogue.")

Name = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, or its name if no other has it.")]

_COLUMNS = (
    Column("webhook", lambda row: str(row["id"]), keep=True),
    Column("state", lambda row: state("active" if row["active"] else "disabled"), keep=True),
    Column("tenant", lambda row: row["tenant"]),
    Column("name", lambda row: row["name"]),
    Column("failing", lambda row: _times.relative(row["failing_since"], _times.now())),
    Column("events", lambda row: " ".join(row["event_types"])),
    Column("url", lambda row: row["url"]),
    Column("why disabled", lambda row: row["disabled_reason"] or ""),
)


@app.command("list")
def list_webhooks(
    *,
    tenant: Tenant = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that are called.")] = False,
    limit: Limit = 500,
    as_json: AsJson = False,
) -> None:
    """List webhooks by tenant and name, without their secrets."""
    from actors.memory import endpoints, tenants  # noqa: PLC0415 - a catalogue: it declares jobs
    from actors.memory.webhooks import registry  # noqa: PLC0415 - see above

    tenant_id = None if tenant is None else named(tenants.named, "tenant", tenant)["id"]
    with transaction() as connection:
        found = registry.listing(connection, tenant=tenant_id, active_only=active, limit=limit)
    rows: list[Row] = [{**row, "url": endpoints.shown(row["url"])} for row in found]
    show(rows, _COLUMNS, as_json=as_json, empty="No webhook fits: `callboard webhooks add` registers one.")


@app.command()
def add(  # noqa: PLR0913 - each is something that an owner may say of a webhook
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to; https.")],
    *,
    tenant: OfTenant,
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="Of which events, e.g. memory.created; all if none is given."),
    ] = None,
    project: Annotated[str | None, typer.Option(metavar="ID", help="Only events of this project.")] = None,
    auth_header: Annotated[
        str | None, typer.Option(metavar="NAME", help="A header to send along; its value is asked for.")
    ] = None,
    own_secret: Annotated[
        bool, typer.Option("--own-secret", help="Ask for the signing secret (whsec_...) instead of making one.")
    ] = False,
    stdin: FromStdin = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="retry_base_seconds, retry_factor, max_retries, concurrency or timeout_seconds.",
        ),
    ] = None,
    why: Why = "",
) -> None:
    """Register a webhook and print its signing secret, this once; all else goes to stderr."""
    from actors.memory import tenants  # noqa: PLC0415 - see above
    from actors.memory.webhooks import NewWebhook, register  # noqa: PLC0415 - see above

    tenant_id: UUID = named(tenants.named, "tenant", tenant)["id"]
    scope, settings = _project(project), _settings(setting or [])
    header = None if auth_header is None else (auth_header, ask_secret(f"value of {auth_header}", from_stdin=stdin))
    own = ask_secret("signing secret", from_stdin=stdin) if own_secret else None
    with changing() as connection:
        new = NewWebhook(tenant_id, name, url, event or ["*"], scope, auth_header=header, secret=own, **settings)
        webhook, secret = register(connection, new)
        note(connection, "webhook.add", str(webhook), why, tenant=tenant_id, name=name, events=list(new.events))
    say(f"{name} is registered: {webhook}. What verifies its signatures is shown this once:", stderr=True)
    typer.echo(secret)


@app.command()
def disable(webhook: Name, *, why: Why = "") -> None:
    """Call a webhook no more; what is still to be delivered becomes dead letters."""
    from actors.memory.webhooks import registry  # noqa: PLC0415 - see above

    row = named(registry.named, "webhook", webhook)
    with changing() as connection:
        registry.disable(connection, row["id"], why or "by an operator")
        note(connection, "webhook.disable", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['name']} is disabled; `callboard webhooks enable {row['id']}` ends that.")


@app.command()
def enable(webhook: Name, *, why: Why = "") -> None:
    """Call a webhook again; what was given up meanwhile can be replayed."""
    from actors.memory.webhooks import registry  # noqa: PLC0415 - see above

    row = named(registry.named, "webhook", webhook)
    with changing() as connection:
        registry.enable(connection, row["id"])
        note(connection, "webhook.enable", str(row["id"]), why, tenant=row["tenant_id"])
    say(f"{row['name']} is called again; `callboard dead-letters replay job:webhook.deliver` sends what was given up.")


@app.command()
def rotate(
    webhook: Name,
    *,
    done: Annotated[bool, typer.Option("--done", help="Sign with the new secret only: its owner has changed.")] = False,
    why: Why = "",
) -> None:
    """Print a new signing secret, this once; the one before signs too until `--done`."""
    from actors.memory.webhooks import registry  # noqa: PLC0415 - see above

    row = named(registry.named, "webhook", webhook)
    with changing() as connection:
        secret = None if done else registry.rotate(connection, row["id"])
        if done:
            registry.forget_previous(connection, row["id"])
        note(connection, "webhook.rotate", str(row["id"]), why, tenant=row["tenant_id"], done=done)
    if secret is None:
        say(f"{row['name']} is signed with its newest secret only.")
        return
    say(f"Both sign until `callboard webhooks rotate {row['id']} --done`. The new one is shown this once:", stderr=True)
    typer.echo(secret)


@app.command("test")
def send_event(
    webhook: Name,
    *,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Until it is delivered or given up on.")] = False,
    why: Why = "",
) -> None:
    """Send `webhook.test` to a webhook, signed and tried as any event is."""
    from actors.memory.webhooks import registry  # noqa: PLC0415 - see above
    from actors.memory.webhooks.events import send_test  # noqa: PLC0415 - see above

    row = named(registry.named, "webhook", webhook)
    if not row["active"]:
        raise CallboardError(f"{row['name']} is disabled ({row['disabled_reason']}): `callboard webhooks enable` it.")
    with changing() as connection:
        run = send_test(connection, row["id"], row["tenant_id"])
        note(connection, "webhook.test", str(row["id"]), why, run=str(run))
    if not wait:
        say(f"webhook.test is on its way to {row['name']}: callboard run show {short(run)}")
    elif watch(run)["state"] != "completed":
        raise typer.Exit(Exit.FAILED)


def _project(word: str | None) -> UUID | None:
    found = None if word is None else as_id(word)
    if word is not None and found is None:
        usage(f"--project {word!r} is no id; `callboard projects list` has them")
    return found


def _settings(words: list[str]) -> dict[str, Any]:
    from actors.memory.webhooks.registry import BOUNDS  # noqa: PLC0415 - see above

    given = parse_arguments(words)
    for name in given:
        if name not in BOUNDS:
            usage(f"--set {name}: it must be one of {', '.join(BOUNDS)}")
    return given
