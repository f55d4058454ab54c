"""`callboard queues`."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import typer
from rich.text import Text

from cli import _times
from cli._options import AsJson
from cli._output import Cell, Column, Row, say, show, state
from cli.board import board

_EMPTY = "No queue yet: `callboard jobs` lists the jobs and their queues."


def queues(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List queues and what waits in them."""
    if context.invoked_subcommand is not None:
        return
    found = board().queues()
    rows = [asdict(queue) for queue in found.queues]
    if found.broker_error:
        say(f"The broker does not answer ({found.broker_error}); its columns show '?'.", stderr=True)
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)
    if not as_json:
        _advise(rows)


def _advise(rows: list[dict[str, Any]]) -> None:
    paused = [row["queue"] for row in rows if row["paused"]]
    if paused:
        say(f"Paused, and taking messages all the same: {', '.join(paused)}. `callboard queues resume QUEUE` goes on.")
    idle = [row["queue"] for row in rows if not row["workers"] and (row["ready"] or row["pending"])]
    if idle:
        say(f"Nobody works on {', '.join(idle)}: start `callboard worker`.")


def _number(name: str) -> Column:
    return Column(name, lambda queue: "?" if queue[name] is None else str(queue[name]), justify="right")


def _age(seconds: float | None) -> str:
    return "?" if seconds is None else _times.short_span(seconds) if seconds else ""


def _told(name: str, shown: Callable[[Any], Cell]) -> Callable[[Row], Cell]:
    """The cell of what only the broker knows: `?` where it did not answer, empty for nothing."""
    return lambda queue: "?" if queue["ready"] is None else shown(queue[name])


_COLUMNS = (
    Column("queue", lambda queue: queue["queue"], keep=True),
    _number("ready"),
    _number("claimed"),
    _number("delayed"),
    _number("orphaned"),
    Column("oldest", lambda queue: _age(queue["oldest_ready_seconds"]), justify="right"),
    Column("paused", _told("paused", lambda paused: state("paused") if paused else Text(""))),
    Column("limit", _told("limit", lambda limit: "" if limit is None else str(limit)), justify="right"),
    _number("running"),
    _number("dead"),
    _number("workers"),
)
