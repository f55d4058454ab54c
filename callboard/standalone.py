"""One run of one job in this process, for whoever reads only the exit code: cron, a Kubernetes CronJob, a shell."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from callboard.arguments import parse_arguments
from callboard.exits import Exit
from callboard.inline import run_inline
from callboard.job import get_job
from callboard.ledger.database import dispose
from callboard.loading import load_actors
from callboard.outcome import Cancelled, Completed, Failed, Interrupted
from callboard.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from callboard.inline import InlineResult
    from callboard.outcome import Outcome


def run_standalone(job: str, words: Iterable[str] = (), *, by: str = "cli") -> InlineResult:
    """Load the actor modules and run a job here, recorded in the ledger; the broker is not needed.

    Args:
        job: Name of the job.
        words: Its arguments, as `key=value`.
        by: What asked for the run.

    Raises:
        ArgumentsError: A word is malformed, or the arguments do not fit the job's signature.
        DeclarationError: An actor module cannot be loaded.
        DuplicateRun: The job is single, and a run is already pending or running.
        LookupError: There is no ledger.
        NotFound: No job has that name.
    """
    arguments = parse_arguments(words)
    load_actors(get_settings())
    found = get_job(job)
    try:
        with _sigterm_as_ctrl_c():
            return run_inline(found, arguments, by=by)
    finally:
        dispose()


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Kubernetes and `timeout` end a job by SIGTERM: the ledger must be told of it, as of Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def exit_code(outcome: Outcome) -> Exit:
    """The exit code that tells of an outcome."""
    match outcome:
        case Completed():
            return Exit.OK
        case Cancelled():
            return Exit.CANCELLED
        case Interrupted():
            return Exit.INTERRUPTED
        case _:
            return Exit.FAILED


def describe(job: str, result: InlineResult) -> str:
    """One line for people: what ran, how it ended, what it counted."""
    counts = " ".join(f"{name}={number}" for name, number in result.counts.items())
    match result.outcome:
        case Completed():
            ending = "completed"
        case Cancelled(reason):
            ending = f"cancelled ({reason})"
        case Failed(failure, _):
            ending = f"failed: {failure.error_type}: {failure.error}"
        case _:
            ending = "was interrupted"
    return f"{job} {ending} in {result.milliseconds / 1000:.1f} s  {counts}".rstrip() + f"  run {result.run_id}"
