"""`callboard queues`."""

from typing import Any

import structlog
from sqlalchemy import text

from callboard import get_broker
from callboard.broker import Depth
from callboard.ledger.database import transaction
from callboard.loading import load_actors
from callboard.settings import get_settings
from cli import _times
from cli._options import AsJson, application
from cli._output import Column, Row, say, show

app = application()

_HEALTH = text("select * from board.queue_health")
_EMPTY = "No queue yet: `callboard jobs` lists the jobs and their queues."


def _number(name: str) -> Column:
    return Column(name, lambda queue: "?" if queue[name] is None else str(queue[name]), justify="right")


_COLUMNS = (
    Column("queue", lambda queue: queue["queue"], keep=True),
    _number("ready"),
    _number("claimed"),
    _number("delayed"),
    _number("running"),
    Column("oldest", lambda queue: _age(queue["oldest_ready_seconds"]), justify="right"),
    _number("dead"),
    _number("workers"),
)


@app.command()
def queues(*, as_json: AsJson = False) -> None:
    """List queues and what waits in them."""
    declared = {job.spec.queue for job in load_actors(get_settings()).values()}
    with transaction() as connection:
        health = {row["queue"]: row for row in connection.execute(_HEALTH).mappings()}
    names = sorted(declared | set(health))
    depths = _depths(names)
    rows = [_row(name, health.get(name, {}), depths.get(name)) for name in names]
    show(rows, _COLUMNS, as_json=as_json, empty=_EMPTY)
    idle = [row["queue"] for row in rows if not row["workers"] and (row["ready"] or row["pending"])]
    if idle and not as_json:
        say(f"Nobody works on {', '.join(idle)}: start `callboard worker`.")


def _depths(names: list[str]) -> dict[str, Depth]:
    """What the broker says; nothing if it is away, for the ledger's half is worth showing all the same."""
    try:
        return dict(get_broker().depths(names))  # type: ignore[attr-defined] # our broker's own
    except Exception as error:  # noqa: BLE001 - said aloud, and shown as unknown
        structlog.get_logger(__name__).warning("queues.broker_away", error=str(error))
        say(f"The broker does not answer ({error}); its columns show '?'.", stderr=True)
        return {}


def _row(name: str, health: Row, depth: Depth | None) -> dict[str, Any]:
    return {
        "queue": name,
        "ready": None if depth is None else depth.ready,
        "claimed": None if depth is None else depth.claimed,
        "delayed": None if depth is None else depth.delayed,
        "oldest_ready_seconds": None if depth is None else depth.oldest_ready_seconds,
        "pending": health.get("pending", 0),
        "waiting": health.get("waiting", 0),
        "running": health.get("running", 0),
        "oldest_pending_at": health.get("oldest_pending_at"),
        "dead": health.get("dead", 0),
        "workers": health.get("consumers", 0),
    }


def _age(seconds: float | None) -> str:
    return "?" if seconds is None else _times.short_span(seconds) if seconds else ""
