"""`callboard worker-process`: what `worker` and `up` start N times."""

from typing import Annotated

import typer

from callboard.settings import get_settings
from callboard.worker import run_worker
from cli._options import application
from cli._service import configure_logs

app = application()


@app.command()
def worker_process(
    *,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Work on this queue only. May be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=256, help="Jobs done at the same time.")] = None,
) -> None:
    """Run one worker process."""
    settings = get_settings()
    if threads is not None:
        settings = settings.model_copy(update={"worker_threads": threads})
    configure_logs("worker")
    run_worker(settings, queues=queue or ())
