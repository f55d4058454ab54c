"""`callboard top`: the numbers of the dashboards in the terminal, from the broker and the ledger themselves."""

import io
from typing import Annotated

import typer

from callboard.exits import Exit
from callboard.loading import load_actors
from callboard.settings import get_settings
from cli._options import application
from cli._output import console, print_json
from cli._signals import Stopped, raising
from cli.board import is_remote
from cli.top._screen import Choice, render
from cli.top._view import View
from cli.top._watch import once, watch
from observability import logs

app = application()
_WIDTH_OF_A_PIPE, _HEIGHT_OF_A_PIPE = 120, 60


@app.command()
def top(
    *,
    single: Annotated[bool, typer.Option("--once", help="Print one screen and end, as without a terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and end.")] = False,
) -> None:
    """Watch queues, jobs, runs, schedules and workers, live.

    Asks the broker and the ledger themselves, so it works while Prometheus and Grafana are down, and shows what is
    left when one of the two is; with --api, the console asks them. Keys: 1-5 or tab choose a section, s sorts it, j and
    k scroll, p pauses, q quits.

    With --once or --json the exit code is 0 if nothing is urgent, 1 if something is, 5 if a server is away.
    """
    # The screen tells what is down; a log line would tear it.
    logs.configure(format="text", level="critical", service="top", stream=io.StringIO())
    if not is_remote():
        load_actors(get_settings())
    if as_json or single or not console().is_terminal:
        raise typer.Exit(_tell(once(), as_json=as_json))
    try:
        with raising():
            watch()
    except Stopped:
        pass  # asked to: that is how it ends


def _tell(view: View, *, as_json: bool) -> Exit:
    if as_json:
        print_json(_object(view))
    else:
        out = console()
        wide = out.is_terminal
        width, height = (out.width, out.height) if wide else (_WIDTH_OF_A_PIPE, _HEIGHT_OF_A_PIPE)
        out.print(render(view, Choice(), width=width, height=height, keys=False))
    if view.down:
        return Exit.SERVER_AWAY
    return Exit.OK if view.healthy else Exit.FAILED


def _object(view: View) -> dict[str, object]:
    """The view as JSON; what is not known is null."""
    return {
        "moment": view.moment,
        "healthy": view.healthy and not view.down,
        "rate_seconds": view.seconds,
        "problems": [problem._asdict() for problem in view.problems],
        "down": view.down,
        "scheduler": view.scheduler,
        "running": view.running,
        "queues": view.queues,
        "jobs": view.jobs,
        "runs": view.runs,
        "schedules": view.schedules,
        "workers": view.workers,
    }
