"""`callboard observability check`."""

from typing import Annotated

import typer
from rich.text import Text

from callboard.exits import Exit
from cli._options import AsJson
from cli._output import Column, Row, say, show, state
from cli.observability._live import Server, rows
from cli.observability._render import Set, configuration

_STYLES = {"ok": "completed", "waits": "warning", "fails": "error"}


def check(
    *,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", metavar="URL", help="Address of Prometheus; else prometheus_url.")
    ] = None,
    options: Set = None,
    everything: Annotated[bool, typer.Option("--all", help="What is in order too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that a live Prometheus can raise every alert and fill every dashboard.

    Looked at are: each target is up, each rule is loaded and healthy, each metric that an alert or a dashboard reads
    has series. The exit code is 1 if something fails; a metric that `waits` has no series before its first event.
    """
    config = configuration(options)
    found = rows(Server(prometheus or config.prometheus_url), config)
    failed = [row for row in found if row["state"] == "fails"]
    shown = list(found) if everything or as_json else [row for row in found if row["state"] != "ok"]
    shown.sort(key=lambda row: (row["state"] != "fails", row["state"]))
    show(shown, _COLUMNS, as_json=as_json, empty="")
    if not as_json:
        say(_summary(found))
    raise typer.Exit(Exit.FAILED if failed else Exit.OK)


def _summary(found: list[dict[str, str]]) -> str:
    counts = {each: sum(row["state"] == each for row in found) for each in _STYLES}
    return f"{counts['fails']} fail, {counts['waits']} wait for their first event, {counts['ok']} are in order"


def _state(row: Row) -> str:
    return str(row["state"])


_COLUMNS = (
    Column("state", lambda row: _coloured(_state(row)), keep=True),
    Column("kind", lambda row: row["kind"], keep=True),
    Column("name", lambda row: row["name"], keep=True),
    Column("what", lambda row: row["what"]),
)


def _coloured(name: str) -> Text:
    return Text(name, style=state(_STYLES[name]).style)
