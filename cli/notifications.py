"""`callboard notifications`: who was told of what, and a test message."""

from typing import Annotated, Any

import typer

from callboard.exits import Exit
from cli import _times
from cli._options import AsJson, Limit, age, application, usage
from cli._output import Column, pick, print_json, say, show, state
from cli.board import board

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
    found = board().notifications(state=only, since=None if most is None else moment - most, limit=limit)
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
    """Send a test message now, from this process, and say what happened; with --api, from the console's.

    A channel that was disabled and takes it is used again.
    """
    results = [one._asdict() for one in board().try_channel(target, to)]
    if as_json:
        print_json(results)
    else:
        for result in results:
            say(f"{result['target']}: {result['error'] or 'sent'}")
    raise typer.Exit(Exit.FAILED if any(result["error"] for result in results) else Exit.OK)
