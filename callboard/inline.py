"""Run a job in this process, without the broker: what a Kubernetes CronJob, cron or a person at a terminal calls."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dramatiq.middleware import TimeLimitExceeded

from callboard.dispatch import insert, message_for
from callboard.errors import Postponed
from callboard.heart import Heart
from callboard.journal import finished, started
from callboard.ledger.database import get_engine, transaction
from callboard.ledger.facts import Refused, Report
from callboard.ledger.recorder import Recorder
from callboard.middleware._execution import Execution
from callboard.middleware.time_limit import limited
from callboard.outcome import Cancelled, Completed, Failed, Failure, Outcome
from callboard.run import Run, enter_run
from callboard.settings import get_settings

if TYPE_CHECKING:
    from uuid import UUID

    from callboard.job import Job
    from callboard.ledger.facts import RunFacts


@dataclass(frozen=True, slots=True)
class InlineResult:
    """How the run ended, and what it reported."""

    run_id: UUID
    outcome: Outcome
    milliseconds: int
    counts: dict[str, int]
    notes: dict[str, Any]


def run_inline(job: Job[Any, Any], kwargs: dict[str, Any] | None = None, *, by: str = "cli") -> InlineResult:
    """Run a job here and now, recorded like any other run; whoever called decides about another try.

    Raises:
        ArgumentsError: The arguments do not fit the job's signature.
        DuplicateRun: The job is single, and a run is already pending or running.
        LookupError: There is no ledger.
    """
    message = message_for(job, kwargs=kwargs, trigger=by, durable=False)
    with transaction() as connection:
        facts = insert(connection, message, job.spec)
    settings = get_settings()
    heart = Heart(None, uuid4(), settings, threads=1, host=socket.gethostname())
    heart.start()
    try:
        recorder = Recorder(get_engine(), heart.worker_id, settings)
        return _run(job, kwargs or {}, facts, recorder, heart)
    finally:
        heart.stop()


def _run(job: Job[Any, Any], kwargs: dict[str, Any], facts: RunFacts, recorder: Recorder, heart: Heart) -> InlineResult:
    answer = recorder.start(facts)
    if isinstance(answer, Refused):  # somebody cancelled it between the two transactions
        return InlineResult(facts.id, Cancelled(answer.reason), 0, {}, {})
    run = Run.begin(facts, answer)
    enter_run(run)
    execution = Execution(job.spec, facts, answer, run)
    heart.watch(execution)
    started(run, job.spec)
    began = time.perf_counter()
    try:
        outcome = _call(job, kwargs, run, facts)
        seconds = time.perf_counter() - began
        milliseconds = round(seconds * 1000)
        report = Report(run.counts, run.notes, run.latest_progress, run.token_usages, run.log_lines, run.is_quiet)
        kept = recorder.finish(facts, answer, outcome, report, delivery="", seconds=seconds)
        finished(facts, outcome, run=run, milliseconds=milliseconds, fenced=not kept)
        return InlineResult(facts.id, outcome, milliseconds, run.counts, run.notes)
    finally:
        heart.unwatch(execution)
        enter_run(None)


def _call(job: Job[Any, Any], kwargs: dict[str, Any], run: Run, facts: RunFacts) -> Outcome:
    try:
        with limited(job.spec.time_limit):
            job(**kwargs)
    except KeyboardInterrupt:
        return Cancelled("interrupted from the terminal")
    except Postponed as error:
        return Cancelled(f"postponed: {error.why}; a run in process is not tried again")
    except (Exception, TimeLimitExceeded) as error:  # noqa: BLE001 - the run's outcome, whatever it is
        return Failed(Failure.of(error, job=job.spec.name, scope=facts.concern), "run in process, not retried")
    return Cancelled("the job returned early") if run.cancel_was_seen else Completed()
