"""`callboard workers`."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli import _times
from cli._options import AsJson, application
from cli._output import Column, pick, show, state
from cli.board import board

app = application()

_KEYS = (
    "id",
    "host",
    "pid",
    "version",
    "queues",
    "threads",
    "busy",
    "state",
    "started_at",
    "heartbeat_at",
    "lease_until",
)
_EMPTY = "No worker is alive: start some with `callboard worker`, or everything with `callboard up`."
_COLUMNS = (
    Column("worker", lambda worker: str(worker["id"])[:8], keep=True),
    Column("host", lambda worker: worker["host"]),
    Column("pid", lambda worker: str(worker["pid"]), justify="right"),
    Column("state", lambda worker: state(worker["shown"]), keep=True),
    Column("busy", lambda worker: f"{worker['busy']}/{worker['threads']}", justify="right"),
    Column(
        "up", lambda worker: _times.short_span((worker["now"] - worker["started_at"]).total_seconds()), justify="right"
    ),
    Column("heard", lambda worker: _times.relative(worker["heartbeat_at"], worker["now"])),
    Column("queues", lambda worker: " ".join(worker["queues"])),
)


@app.command()
def workers(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those too that ended within the last day.")] = False,
    as_json: AsJson = False,
) -> None:
    """List worker processes."""
    moment = _times.now()
    rows = [asdict(row) for row in board().workers(everything=everything)]
    rows = [pick(row, _KEYS) for row in rows] if as_json else [row | {"now": moment} for row in rows]
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)
