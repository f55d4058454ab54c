"""`callboard schedules`, with `pause` and `resume`."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from callboard.views import schedules as view
from cli import _times
from cli._options import AsJson, Why, application
from cli._output import Column, Row, console, pick, print_json, say, show, state
from cli.board import board

app = application(subcommand_metavar="[pause|resume JOB]")

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of the recurring job.")]

#: How a tick ended, newest on the right: a letter each, so that it reads without colours too.
_MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "cancelled": ("c", "yellow"),
    "running": ("▸", "cyan"),
    "pending": ("·", ""),
    "coalesced": ("=", "dim"),
    "skipped": ("-", "yellow"),
    "fired": ("?", "dim"),
}
_LEGEND = "✓ completed  ✗ failed  c cancelled  ▸ running  · pending  = coalesced into a later run  - skipped"
_TICKS, _FIRES = 12, 10
_KEYS = (
    "job",
    "queue",
    "cadence",
    "interval_seconds",
    "declared",
    "created_at",
    "paused_at",
    "paused_by",
    "last_start_at",
    "last_success_at",
    "last_completion_at",
    "last_duration_seconds",
    "last_state",
    "consecutive_failures",
    "on_time",
    "overdue_seconds",
    "cadence_words",
    "next_fires",
)
_EMPTY = "No schedule is in the ledger yet: the scheduler writes them when it starts (`callboard scheduler`)."


@app.callback(invoke_without_command=True)
def schedules(
    context: typer.Context,
    *,
    upcoming: Annotated[bool, typer.Option("--next", help=f"Show the next {_FIRES} fires of each.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Those too that no loaded module declares any more.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List schedules, or pause and resume one."""
    if context.invoked_subcommand is not None:
        return
    moment = _times.now()
    rows = [_row(one, moment) for one in board().schedules(everything=everything, ticks=_TICKS)]
    if as_json:
        print_json([{key: value for key, value in row.items() if key not in ("now", "marks")} for row in rows])
    elif upcoming:
        _print_fires(rows)
    else:
        show(rows, _COLUMNS, as_json=False, empty=_EMPTY)
        if rows:
            say(Text(_LEGEND, style="dim"))


@app.command()
def pause(job: JobName, *, why: Why = "") -> None:
    """Stop a schedule from firing; what runs already goes on."""
    board().change_schedule(job, "pause", why)
    say(f"{job} is paused: its ticks are skipped until `callboard schedules resume {job}`.")


@app.command()
def resume(job: JobName, *, why: Why = "") -> None:
    """Let a paused schedule fire again; what it has missed is not made up for."""
    board().change_schedule(job, "resume", why)
    say(f"{job} fires again.")


def _row(schedule: view.ScheduleView, moment: datetime) -> dict[str, Any]:
    told = asdict(schedule)
    ticks = [
        {
            "scheduled_for": tick.scheduled_for,
            "outcome": tick.outcome,
            "reason": tick.reason,
            "run_id": tick.run_id,
            "run_state": tick.run_state,
        }
        for tick in schedule.ticks
    ]
    return {**pick(told, _KEYS), "last_ticks": ticks, "marks": [tick.mark for tick in schedule.ticks], "now": moment}


def _strip(row: Row) -> Text:
    strip = Text()
    for mark in row["marks"]:
        strip.append(*_MARKS.get(mark, _MARKS["fired"]))
    return strip


def _next(row: Row) -> Text | str:
    if row["paused_at"] is not None:
        return state("paused")
    return _times.relative(row["next_fires"][0], row["now"]) if row["next_fires"] else "retired"


def _print_fires(rows: Sequence[Row]) -> None:
    if not rows:
        say(_EMPTY)
    for row in rows:
        out = console()
        out.print(Text.assemble((row["job"], "bold"), "  ", row["cadence_words"], "  ", _next(row)))
        for fire in row["next_fires"]:
            out.print(f"  {_times.clock(fire, row['now'])} UTC  {_times.relative(fire, row['now'])}")


_COLUMNS = (
    Column("job", lambda row: row["job"], keep=True),
    Column("cadence", lambda row: row["cadence_words"]),
    Column("next", _next, keep=True),
    Column("success", lambda row: _times.relative(row["last_success_at"], row["now"]) or "never", keep=True),
    Column("took", lambda row: "" if (took := row["last_duration_seconds"]) is None else _times.span(took)),
    Column("fails", lambda row: str(row["consecutive_failures"] or ""), justify="right"),
    Column("last ticks", _strip),
)
