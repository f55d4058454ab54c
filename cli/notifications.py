"""`callboard notifications`: who was told of what, and a test message."""

from typing import Annotated, Any

import typer

from callboard.channel_urls import channels
from callboard.exits import Exit
from callboard.ids import new_id
from callboard.ledger import notifications as ledger
from callboard.ledger.database import transaction
from callboard.settings import Settings, get_settings
from cli import _times
from cli._options import AsJson, Limit, age, application, usage
from cli._output import Column, pick, print_json, say, show, state

app = application(help="List who was told of what, or send a test message.", no_args_is_help=True)

_KEYS = (
    *("id", "run_id", "job", "event", "channel", "target", "state", "attempts", "error"),
    *("created_at", "sent_at"),
)
_EMPTY = (
    "Nobody was told of anything: set SYSTEM_JOBS_ALERT_EMAIL or CALLBOARD_NOTIFY_CHANNELS, or trigger a job with "
    "--notify."
)
_COLUMNS = (
    Column("run", lambda row: str(row["run_id"])[:8], keep=True),
    Column("when", lambda row: _times.relative(row["created_at"], row["now"])),
    Column("job", lambda row: row["job"]),
    Column("event", lambda row: row["event"], keep=True),
    Column("channel", lambda row: row["channel"]),
    Column("target", lambda row: row["target"], keep=True),
    Column("state", lambda row: state(row["state"]), keep=True),
    Column("attempts", lambda row: str(row["attempts"]), justify="right"),
    Column("error", lambda row: row["error"] or ""),
)


@app.command("list")
def listing(
    *,
    only: Annotated[str | None, typer.Option("--state", help="Only pending, sent or failed ones.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="AGE", help="Not older than, e.g. 2h or 7d.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List notifications, newest first: whom they are for, and whether they went out."""
    if only not in (None, "pending", "sent", "failed"):
        usage(f"--state {only!r} must be pending, sent or failed")
    moment, most = _times.now(), age(since, "--since")
    with transaction() as connection:
        newer = None if most is None else moment - most
        found = ledger.listing(connection, state=only, since=newer, limit=limit)
    rows: list[dict[str, Any]] = [pick(row, _KEYS) for row in found]
    show(rows if as_json else [row | {"now": moment} for row in rows], _COLUMNS, as_json=as_json, empty=_EMPTY)


@app.command("test")
def try_out(
    target: Annotated[
        str, typer.Argument(metavar="mail|CHANNEL", help="mail, or a name of CALLBOARD_NOTIFY_CHANNELS.")
    ],
    *,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="For mail: instead of the alert's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a test message now, from this process, and say what happened.

    A channel that was disabled and takes it is used again.
    """
    settings = get_settings()
    results = [_result(settings, *one) for one in _targets(settings, target, to)]
    if as_json:
        print_json(results)
    else:
        for result in results:
            say(f"{result['target']}: {result['error'] or 'sent'}")
    raise typer.Exit(Exit.FAILED if any(result["error"] for result in results) else Exit.OK)


def _targets(settings: Settings, target: str, to: str | None) -> list[tuple[str, str]]:
    if target == "mail":
        addresses = (to,) if to else settings.system_jobs_alert_email
        if not addresses:
            usage("say where with --to ADDRESS, or set SYSTEM_JOBS_ALERT_EMAIL")
        return [("mail", address) for address in addresses]
    known = channels(settings.notify_channels)
    if target not in known:
        names = ", ".join(["mail", *known])
        usage(f"{target!r} is no channel; there is {names}. CALLBOARD_NOTIFY_CHANNELS names more.")
    return [(known[target].kind, target)]


def _result(settings: Settings, channel: str, target: str) -> dict[str, Any]:
    from callboard.notifications.notice import Notice  # noqa: PLC0415 - only this command sends
    from callboard.notifications.sending import send  # noqa: PLC0415 - the same

    notice = Notice(
        id=f"test-{new_id()}", event="test", label="Test", url=f"{_console(settings)}/admin/background_jobs"
    )
    error = ""
    try:
        send(settings, notice, channel, target)
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is the answer
        error = f"{type(failure).__name__}: {failure}"
    else:
        _use_again(channel, target)
    return {"channel": channel, "target": target, "error": error or None}


def _console(settings: Settings) -> str:
    from callboard.notifications.notice import console_url  # noqa: PLC0415 - as above

    return console_url(settings)


def _use_again(channel: str, target: str) -> None:
    if channel != "webhook":
        return
    with transaction() as connection:
        ledger.enable(connection, target)
