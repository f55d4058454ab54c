"""`callboard runs`."""

from datetime import datetime
from typing import Annotated

import typer

from callboard.filters import Filter, parse
from callboard.ledger.tables import STATES
from callboard.waiting import times
from cli import _times
from cli._filters import keys, say_more
from cli._ids import short
from cli._options import AsJson, Limit, age, application, usage
from cli._output import Cell, Column, Row, counts, pick, show, state
from cli.board import board

app = application()

#: The keys of one run in JSON.
KEYS = (
    "id",
    "job",
    "queue",
    "state",
    "trigger",
    "scope",
    "correlation_id",
    "parent_id",
    "args",
    "scheduled_for",
    "missed",
    "attempt",
    "crashes",
    "created_at",
    "eligible_at",
    "started_at",
    "finished_at",
    "retry_at",
    "cancel_requested_at",
    "cancel_requested_by",
    "counts",
    "notes",
    "progress",
    "reason",
    "error_kind",
    "error_type",
    "error",
)

_PATTERNS = ("job", "trigger")
_EMPTY = "No run fits. `callboard jobs` lists what can run; `callboard trigger JOB` starts one."


@app.command(epilog=keys("runs"))
def runs(  # noqa: PLR0913 - the command's options
    words: Annotated[
        list[str] | None, typer.Argument(metavar="FILTER", help="E.g. state:failed 'job:sync_*' 'age:>2h' timeout.")
    ] = None,
    *,
    job: Annotated[
        str | None, typer.Option(metavar="JOB", help="Only runs of this job; * stands for anything.")
    ] = None,
    state_: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help=f"Only runs in this state: {', '.join(STATES)}.")
    ] = None,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Only runs of this queue.")] = None,
    trigger: Annotated[
        str | None, typer.Option(metavar="WHO", help="Only runs asked for so, e.g. schedule, cli, 'replay:*'.")
    ] = None,
    correlation: Annotated[str | None, typer.Option(metavar="ID", help="Only runs with this correlation id.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only runs created within this age, e.g. 2h.")
    ] = None,
    cursor: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where a listing said it ended.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Without words, all of them. docs/reference/filters.md lists what can stand in a filter; options narrow it further.
    """
    given = {"job": job, "queue": queue, "trigger": trigger, "correlation": correlation}
    chosen = _filter(words or [], _state(state_), since, given)
    moment = _times.now()
    found = board().search(chosen, cursor=cursor, limit=limit)
    rows = [row_of(run, moment) if as_json else {**run, "now": moment} for run in found.rows]
    show(rows, COLUMNS, as_json=as_json, empty=_EMPTY if found.next is None else "No run fits so far.")
    if not as_json:
        say_more(found)


def _state(name: str | None) -> str | None:
    if name is not None and name not in STATES:
        usage(f"--state {name!r} is none of {', '.join(STATES)}")
    return name


def _filter(words: list[str], state: str | None, since: str | None, given: dict[str, str | None]) -> Filter:
    within = age(since, "--since")
    found = parse(" ".join(words), "runs")
    for key, value in {"state": state, **given}.items():
        found = found if value is None else found.and_(key, value, pattern=key in _PATTERNS)
    return found if within is None else found.and_("since", f"{within.total_seconds():f}s")


def row_of(run: Row, moment: datetime) -> dict[str, object]:
    """A run as it stands in JSON: the columns of `KEYS` and its times in seconds, so far while it goes on."""
    told = times(run, moment)
    return pick(run, KEYS) | {
        "wait_seconds": told.wait,
        "duration_seconds": told.run,
        "end_to_end_seconds": told.end_to_end,
    }


def took(run: Row) -> float | None:
    """Seconds that the last attempt ran, as far as it has ended."""
    if run["started_at"] is None or run["finished_at"] is None:
        return None
    return times(run, run["finished_at"]).run


def _started(run: Row) -> str:
    return _times.relative(run["started_at"] or run["created_at"], run["now"])


def _duration(run: Row) -> str:
    seconds = took(run)
    if seconds is not None:
        return _times.span(seconds)
    return _times.span((run["now"] - run["started_at"]).total_seconds()) if run["state"] == "running" else ""


def summary(run: Row) -> Cell:
    """What is worth knowing of a run in one line: its error, its progress, or what it counted."""
    if run["error"] is not None and run["state"] != "completed":
        tries = f"attempt {run['attempt']}: " if run["state"] == "pending" else ""
        return f"{tries}{run['error_type']}: {run['error']}"
    if run["state"] == "running" and run["progress"]:
        return progress_of(run["progress"])
    return counts(run["counts"]) or run["reason"] or ""


def progress_of(progress: Row) -> str:
    """`120/842 Synced 38 users`."""
    total = f"/{progress['total']}" if progress.get("total") else ""
    return f"{progress.get('processed', 0)}{total} {progress.get('message') or ''}".rstrip()


COLUMNS = (
    Column("run", lambda run: short(run["id"]), keep=True),
    Column("job", lambda run: run["job"]),
    Column("state", lambda run: state(run["state"]), keep=True),
    Column("when", _started, keep=True),
    Column("took", _duration, keep=True),
    Column("asked by", lambda run: run["trigger"]),
    Column("counts or error", summary),
)
