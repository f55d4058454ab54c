"""`callboard worker`: a supervisor of worker processes, which this command becomes."""

from typing import Annotated

import typer

from callboard.settings import get_settings
from callboard.supervisor.command import become_supervisor, make_plan
from cli._options import application
from cli._service import command

app = application()


@app.command()
def worker(
    *,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", metavar="N", min=1, max=256, help="Worker processes.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", "-t", metavar="N", min=1, max=256, help="Threads of each.")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="QUEUE", help="Work on this queue only. May be repeated."),
    ] = None,
) -> None:
    """Run worker processes that do the jobs.

    One that dies is started again without touching the others; one whose job outlives its hard limit is killed and
    replaced; all of them end with this process, however it ends.
    """
    settings = get_settings()
    changed = {"worker_processes": processes, "worker_threads": threads}
    settings = settings.model_copy(update={name: value for name, value in changed.items() if value is not None})
    words = ["--threads", str(settings.worker_threads), *(word for name in queue or () for word in ("--queue", name))]
    become_supervisor(make_plan(settings, command("worker-process", *words)))
