"""`callboard queues`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
import typer
from rich.text import Text

from callboard.broker import Depth
from callboard.operations.queues import limits, transport
from cli import _times
from cli._options import AsJson
from cli._output import Cell, Column, Row, say, show, state
from cli.queues._known import all_queues

_EMPTY = "No queue yet: `callboard jobs` lists the jobs and their queues."


@dataclass(frozen=True)
class _Held:
    """What the broker says; None is not known."""

    depths: Mapping[str, Depth] = field(default_factory=dict)
    paused: Collection[str] | None = None
    limits: Mapping[str, int] | None = None


def queues(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List queues and what waits in them."""
    if context.invoked_subcommand is not None:
        return
    known = all_queues()
    held = _ask(list(known))
    rows = [_row(name, health, held) for name, health in known.items()]
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)
    if not as_json:
        _advise(rows)


def _ask(names: list[str]) -> _Held:
    """What the broker says; nothing if it is away, for the ledger's half is worth showing all the same."""
    try:
        broker = transport()
        return _Held(broker.depths(names), broker.paused(), limits() or {})
    except Exception as error:  # noqa: BLE001 - said aloud, and shown as unknown
        structlog.get_logger(__name__).warning("queues.broker_away", error=str(error))
        say(f"The broker does not answer ({error}); its columns show '?'.", stderr=True)
        return _Held()


def _row(name: str, health: Row, held: _Held) -> dict[str, Any]:
    depth = held.depths.get(name)
    return {
        "queue": name,
        "ready": None if depth is None else depth.ready,
        "claimed": None if depth is None else depth.claimed - depth.orphaned,
        "delayed": None if depth is None else depth.delayed,
        "orphaned": None if depth is None else depth.orphaned,
        "oldest_ready_seconds": None if depth is None else depth.oldest_ready_seconds,
        "paused": None if held.paused is None else name in held.paused,
        "limit": None if held.limits is None else held.limits.get(name),
        "pending": health.get("pending", 0),
        "waiting": health.get("waiting", 0),
        "running": health.get("running", 0),
        "oldest_pending_at": health.get("oldest_pending_at"),
        "dead": health.get("dead", 0),
        "workers": health.get("consumers", 0),
    }


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
