"""`callboard audit`: who did what."""

import json
from typing import Annotated

import typer

from callboard.filters import parse
from cli import _times
from cli._filters import keys, say_more
from cli._options import AsJson, Limit, application
from cli._output import Column, Row, pick, show
from cli.board import board

app = application()

_KEYS = (
    *("id", "at", "who", "who_name", "action", "resource_type", "resource_id", "team_id", "why", "ip", "agent"),
    "detail",
)
_EMPTY = "Nobody did anything that fits."


def _detail(row: Row) -> str:
    return json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""


_COLUMNS = (
    Column("at", lambda row: _times.clock(row["at"], _times.now()), keep=True),
    Column("who", lambda row: row["who_name"]),
    Column("action", lambda row: row["action"], keep=True),
    Column("to", lambda row: f"{row['resource_type']} {row['resource_id']}"),
    Column("why", lambda row: row["why"]),
    Column("detail", _detail),
    Column("from", lambda row: row["ip"] or ""),
)


@app.command(epilog=keys("audit"))
def audit(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILTER", help="E.g. who:anna@example.org 'action:run.*' type:queue 'age:<2h'."),
    ] = None,
    *,
    cursor: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where a listing said it ended.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    found = board().search(parse(" ".join(words or ()), "audit"), cursor=cursor, limit=limit)
    show([pick(row, _KEYS) for row in found.rows], _COLUMNS, as_json=as_json, empty=_EMPTY)
    say_more(found)
