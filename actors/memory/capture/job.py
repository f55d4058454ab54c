"""The jobs `process_capture_queue_job` and `promote_candidate`."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from actors.memory.capture import queue
from actors.memory.capture.decisions import CREATED, DISCARDS
from actors.memory.capture.drain import Drain
from actors.memory.capture.likeness import Embedder
from actors.memory.clients.model import Model
from actors.memory.settings import get_memory_settings
from callboard import Backoff, Run, current_run, every, job, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTS = ("scanned", CREATED, *DISCARDS, "errored", "unchecked", "deferred")


@job(
    "process_capture_queue_job",
    queue="capture",
    cadence=every(seconds=300),
    retry=Backoff(max_retries=3, base=30),
    time_limit=1800,
    label="Process capture queue",
)
def process_capture_queue_job() -> None:
    """Decide on what integrations proposed, and make memories of what is worth it."""
    with _drain() as (drain, run):
        with transaction() as connection:
            extent = queue.extent(connection, get_memory_settings().capture_attempts)
        if extent.total:
            drain.drain(extent)
        else:
            run.quiet()


@job(
    "promote_candidate",
    queue="capture",
    retry=Backoff(max_retries=3, base=30),
    time_limit=300,
    single_per="candidate_id",
    label="Promote a candidate",
)
def promote_candidate(candidate_id: int) -> None:
    """Decide on one candidate now, however often that has failed."""
    with _drain() as (drain, run):
        if not drain.promote(candidate_id):
            run.note(skipped="not pending, or being decided on by another run")


@contextmanager
def _drain() -> Iterator[tuple[Drain, Run]]:
    settings, run = get_memory_settings(), current_run()
    run.count(**dict.fromkeys(_COUNTS, 0))
    with nullcontext() if settings.model_key is None else Model.of(settings) as model:
        yield Drain(settings, run, None if model is None else Embedder(model)), run
