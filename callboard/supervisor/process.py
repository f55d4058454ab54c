"""The process `callboard worker`: it starts the workers, tends them, and stops them when it is asked to."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from callboard.children import ChildExit, Children
from callboard.exits import Exit
from callboard.supervisor.metrics import WorkerMetrics
from callboard.supervisor.plan import Plan
from callboard.supervisor.workforce import Workforce
from observability import logs
from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from types import FrameType

_log = PlainLog(__name__)
_ROUND_SECONDS = 0.2
#: A first worker that ends so was given a queue or a module that is not there: it has said so, and would again.
_HOPELESS = (Exit.FAILED, Exit.USAGE)


def run(plan: Plan) -> int:
    """Supervise until SIGTERM or SIGINT; a second one changes nothing. Returns the exit code of this process."""
    logs.configure(format=plan.log_format, level=plan.log_level, service="worker", version=plan.version, small=True)
    stopping = _stop_event()
    with Children() as children:
        metrics = WorkerMetrics(plan, children) if plan.metrics else None
        workforce = Workforce(children, plan, env=metrics.env if metrics else {})
        workforce.start()
        _log.info("workers.started", processes=plan.processes, threads=plan.threads)
        code = _tend(workforce, metrics, stopping)
        _log.info("workers.stopping")
        killed = children.stop(plan.stop_seconds)
        if metrics:
            metrics.close()
        workforce.close()
    _log.info("workers.stopped", killed=killed)
    return code


def _tend(workforce: Workforce, metrics: WorkerMetrics | None, stopping: threading.Event) -> int:
    """Tend until we are asked to stop, or until it is plain that no worker can ever start."""
    if metrics:
        metrics.watch(workforce)
    while not stopping.wait(_ROUND_SECONDS):
        if metrics:
            metrics.tend()
        for ended in workforce.tend():
            _log.error("worker.died", **died(ended))
            if ended.exit_code in _HOPELESS and not workforce.has_worked:
                return ended.exit_code
    return Exit.OK


def died(ended: ChildExit) -> dict[str, object]:
    """How a child ended, as fields of a log line."""
    return {"child": ended.name, "exit_code": ended.exit_code, "restart_in_seconds": ended.restart_in}


def _stop_event() -> threading.Event:
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def main(arguments: list[str]) -> None:
    """Run by `callboard.supervisor._bare`: the one argument is a plan."""
    sys.exit(run(Plan.from_json(arguments[0])))
