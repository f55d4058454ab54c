"""`callboard worker`: a supervisor of worker processes, or, for one process, the worker itself."""

import threading
from typing import Annotated

import structlog
import typer

from callboard.children import ChildExit, Children
from callboard.settings import get_settings
from callboard.worker import run_worker
from cli._options import application
from cli._service import command, configure_logs, stop_event

app = application()
_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.2
#: What a worker process may take beyond the grace of its jobs: to interrupt them, give back and say goodbye.
_GOODBYE_SECONDS = 4.0


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

    One that dies is started again without touching the others; all of them end with this process, however it ends.
    """
    configure_logs("worker")
    settings = get_settings()
    changed = {"worker_processes": processes, "worker_threads": threads}
    settings = settings.model_copy(update={name: value for name, value in changed.items() if value is not None})
    if settings.worker_processes == 1:
        run_worker(settings, queues=queue or ())
        return
    words = ["--threads", str(settings.worker_threads), *(word for name in queue or () for word in ("--queue", name))]
    with Children() as children:
        stopping = stop_event()
        for number in range(1, settings.worker_processes + 1):
            children.spawn(f"worker-{number}", command("worker-process", *words))
        _log.info("workers.started", processes=settings.worker_processes, threads=settings.worker_threads)
        _supervise(children, stopping)
        _log.info("workers.stopping")
        killed = children.stop(settings.shutdown_grace_seconds + _GOODBYE_SECONDS)
    _log.info("workers.stopped", killed=killed)


def _supervise(children: Children, stopping: threading.Event) -> None:
    while not stopping.wait(_POLL_SECONDS):
        for ended in children.poll():
            _log.error("worker.died", **died(ended))


def died(ended: ChildExit) -> dict[str, object]:
    """How a child ended, as fields of a log line."""
    return {"child": ended.name, "exit_code": ended.exit_code, "restart_in_seconds": ended.restart_in}
