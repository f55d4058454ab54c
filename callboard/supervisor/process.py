"""The process `callboard worker`: it starts the workers, tends them, and stops them when it is asked to."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from callboard.children import ChildExit, Children
from callboard.supervisor.plan import Plan
from callboard.supervisor.workforce import Workforce
from observability import logs
from observability.plain_log import PlainLog

if TYPE_CHECKING:
    from types import FrameType

_log = PlainLog(__name__)
_ROUND_SECONDS = 0.2


def run(plan: Plan) -> None:
    """Supervise until SIGTERM or SIGINT; a second one changes nothing."""
    logs.configure(format=plan.log_format, level=plan.log_level, service="worker", version=plan.version, small=True)
    stopping = _stop_event()
    with Children() as children:
        workforce = Workforce(children, plan)
        workforce.start()
        _log.info("workers.started", processes=plan.processes, threads=plan.threads)
        while not stopping.wait(_ROUND_SECONDS):
            for ended in workforce.tend():
                _log.error("worker.died", **died(ended))
        _log.info("workers.stopping")
        killed = children.stop(plan.stop_seconds)
        workforce.close()
    _log.info("workers.stopped", killed=killed)


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
    run(Plan.from_json(arguments[0]))
