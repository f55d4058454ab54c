"""`callboard breakers`: which targets are left alone, and closing a breaker by hand."""

from typing import Annotated, Any

import typer

from cli import _times
from cli._options import AsJson, Limit, Why, application
from cli._output import Column, pick, say, show, state
from cli.board import board

app = application(help="List circuit breakers, or close one.")

_KEYS = (
    *("key", "state", "failures", "threshold", "cooldown", "unwell_since", "opened_at", "probe_at"),
    *("last_failure_at", "last_error", "changed_at"),
)
_EMPTY = "Every breaker is closed: whatever the jobs call, answers."
_COLUMNS = (
    Column("breaker", lambda row: row["key"], keep=True),
    Column("state", lambda row: state(row["state"]), keep=True),
    Column("failures", lambda row: f"{row['failures']} of {row['threshold']}", justify="right"),
    Column("since", lambda row: _times.relative(row["unwell_since"], row["now"])),
    Column("probe", lambda row: _times.relative(row["probe_at"], row["now"])),
    Column("last error", lambda row: row["last_error"] or ""),
)
Everything = Annotated[bool, typer.Option("--all", help="Those too that are closed.")]


@app.callback(invoke_without_command=True)
def breakers(context: typer.Context, *, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List circuit breakers, or close one."""
    if context.invoked_subcommand is None:
        _list(everything=False, limit=limit, as_json=as_json)


@app.command("list")
def list_breakers(*, everything: Everything = False, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List breakers that are open or count failures, those that are open for longest first."""
    _list(everything=everything, limit=limit, as_json=as_json)


def _list(*, everything: bool, limit: int, as_json: bool) -> None:
    found = board().breakers(everything=everything, limit=limit)
    now = _times.now()
    rows: list[dict[str, Any]] = [pick(row, _KEYS) for row in found]
    show(rows if as_json else [row | {"now": now} for row in rows], _COLUMNS, as_json=as_json, empty=_EMPTY)


@app.command()
def reset(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of the breaker, e.g. siem:5b1c...")],
    *,
    why: Why = "",
) -> None:
    """Close a breaker now, once what it stands for is mended; it opens again if that was not so."""
    row = board().reset_breaker(key, why)
    say(f"Breaker {row['key']} is closed; workers know within a second.")
