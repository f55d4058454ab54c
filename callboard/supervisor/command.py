"""From settings to a running supervisor."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from callboard.supervisor.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from callboard.settings import Settings


def make_plan(settings: Settings, worker: Sequence[str]) -> Plan:
    """The plan that the settings ask for, with the command line of a worker process."""
    return Plan(
        worker=tuple(worker),
        notary=(sys.executable, "-m", "callboard.notary"),
        processes=settings.worker_processes,
        threads=settings.worker_threads + sum(lane.threads for lane in settings.lanes),
        grace_seconds=settings.shutdown_grace_seconds,
        lease_seconds=settings.lease_seconds,
        max_jobs=settings.worker_max_jobs,
        max_memory_mb=settings.worker_max_memory_mb,
        log_format=settings.log_format,
        log_level=settings.log_level,
        version=metadata.version("callboard"),
        revision=settings.revision,
        dramatiq=metadata.version("dramatiq"),
        metrics=settings.metrics,
        metrics_host=settings.metrics_host,
        metrics_port=settings.worker_metrics_port,
        metrics_most_actors=settings.metrics_most_actors,
        packages=tuple(path for path in sys.path if path.endswith("-packages")),
    )


def become_supervisor(plan: Plan) -> NoReturn:
    """Replace this process by the supervisor, under the same process number."""
    script = str(Path(__file__).with_name("_bare.py"))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-S", script, plan.to_json()])  # noqa: S606 - our own command
