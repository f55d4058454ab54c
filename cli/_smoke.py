"""One session of `callboard smoke`: servers, a worker process, stand-ins, and every job in turn."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from callboard import get_broker
from callboard.children import Children
from callboard.dispatch import trigger
from callboard.embedded import EmbeddedServers
from callboard.filters import parse
from callboard.ledger import listing, migrate, pages, workers
from callboard.ledger.database import database_url, dispose, transaction
from callboard.ledger.seal import make_key_file
from callboard.loading import load_actors
from callboard.settings import get_settings
from cli._service import command
from cli._smoke_arguments import arguments_for
from cli.up._sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from callboard.job import Job

_WORKER_SECONDS, _RUN_SECONDS = 20.0, 30.0
_POLL_SECONDS = 0.1
#: The stand-in for RevenueCat needs no pause between two users.
_HASTE = {"CALLBOARD_REVENUE_REVENUECAT_PAUSE_SECONDS": "0.02"}
_MOST = 200  # runs of one job that are looked at
_ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Verdict:
    """How one job did; `state` is `not run` for a job that needs arguments, `late` for one that did not end in time."""

    job: str
    state: str
    seconds: float | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    run_id: str | None = None


class Smoke:
    """Owns everything that the session starts; leaving the `with` block ends all of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children = Children()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.stop()
        get_broker().close()
        dispose()
        self._resources.close()

    def run(self, say: Callable[[str], None]) -> Iterator[Verdict]:
        """Start everything, then run each job and tell how it did, the most frequent first: later ones build on it."""
        say(f"starting servers and a worker in {self._folder}")
        self._start()
        jobs = load_actors(get_settings())
        self._await_worker()
        for job in sorted(jobs.values(), key=_interval):
            say(f"running {job.spec.name}")
            yield self._try(job)

    def _start(self) -> None:
        settings = get_settings()
        self._resources.enter_context(EmbeddedServers(settings.home, broker_port=0))
        make_key_file(settings.home)
        migrate.upgrade(database_url(settings))
        sandbox = Sandbox(settings)
        sandbox.prepare(always=True)
        os.environ.update(sandbox.environment | _HASTE)
        for each in sandbox.stand_ins:
            self._children.spawn(each.name, each.command, log=self._folder / f"{each.name}.log")
        self._children.spawn("worker", command("worker-process"), log=self._folder / "worker.log")

    def _await_worker(self) -> None:
        deadline = time.monotonic() + _WORKER_SECONDS
        while time.monotonic() < deadline:
            ended = self._children.poll()
            with transaction() as connection:
                if workers.listing(connection):
                    return
            if ended:
                break
            time.sleep(_POLL_SECONDS)
        log = (self._folder / "worker.log").read_text(encoding="utf-8", errors="replace").strip()
        raise RuntimeError(f"the worker did not start: {log[-1000:] or 'it said nothing'}")

    def _try(self, job: Job[Any, Any]) -> Verdict:
        try:
            job.spec.bind((), {})
        except TypeError:
            return self._seen(job)
        return self._run(job, {})

    def _run(self, job: Job[Any, Any], arguments: dict[str, Any]) -> Verdict:
        facts = trigger(job, kwargs=arguments, by="cli")
        deadline = time.monotonic() + _RUN_SECONDS
        while True:
            self._children.poll()
            with transaction() as connection:
                run = listing.run(connection, str(facts.id))
            if run["state"] in _ENDED or run["error"] is not None or time.monotonic() > deadline:
                return _verdict(run)
            time.sleep(_POLL_SECONDS)

    def _seen(self, job: Job[Any, Any]) -> Verdict:
        """Of a job that needs arguments: how a run did that another job has asked for, a completed one if there is."""
        name, deadline = job.spec.name, time.monotonic() + _RUN_SECONDS
        while True:
            self._children.poll()
            with transaction() as connection:
                runs = pages.page(connection, parse("", "runs").and_("job", name), limit=_MOST).rows
                states = [row["state"] for row in runs]
                is_open = any(state not in _ENDED for state in states)
                if "completed" in states or not is_open or time.monotonic() > deadline:
                    if not runs:
                        break
                    best = runs[states.index("completed") if "completed" in states else 0]
                    return _verdict(listing.run(connection, str(best["id"])))
            time.sleep(_POLL_SECONDS)
        with transaction() as connection:
            arguments = arguments_for(connection, name)
        if arguments is None:
            return Verdict(name, "not run", error="needs arguments, and no other job asked for it")
        return self._run(job, arguments)


def _interval(job: Job[Any, Any]) -> float:
    return job.spec.cadence.interval_seconds() if job.spec.cadence else float("inf")


def _verdict(run: Any) -> Verdict:  # noqa: ANN401 - a row of board.runs
    """A first attempt that failed is the verdict: nobody waits here for its retry."""
    seconds = None
    if run["started_at"] is not None and run["finished_at"] is not None:
        seconds = (run["finished_at"] - run["started_at"]).total_seconds()
    error = None if run["error"] is None else f"{run['error_type']}: {run['error']}"
    state = run["state"] if run["state"] in _ENDED else "failed" if error else "late"
    return Verdict(run["job"], state, seconds, run["counts"] or {}, error, str(run["id"]))
