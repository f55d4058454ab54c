"""The job `siem_forward_batch`: what a destination has not got yet, batch after batch."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.siem import batches
from actors.memory.siem.destinations import Destination
from actors.memory.siem.sending import Sender
from callboard import (
    BreakerOpen,
    Delays,
    JobError,
    PermanentError,
    Postponed,
    Run,
    TransientError,
    breaker,
    current_run,
    job,
    transaction,
)

if TYPE_CHECKING:
    from actors.memory.siem.batches import Batch

_RETRIES = Delays(1, 2, 5, 10, 30, jitter=0.25)
#: Attempts of one batch; then it is given up on.
ATTEMPTS = _RETRIES.max_retries + 1
#: A run that has gone on for so long leaves the rest to the next one.
_LONGEST_SECONDS = 240.0
#: So long a run that finds nothing but rows behind a transaction that still runs waits for its end.
_HELD_BACK_SECONDS = 2.0
#: What asks for a run by itself, and so must not touch a batch that was given up on.
_MACHINES = ("schedule", "job")


@job(
    "siem_forward_batch",
    queue="siem",
    single_per="destination",
    retry=_RETRIES,
    time_limit=300,
    label="Forward audit rows to one destination",
)
def siem_forward_batch(destination: str) -> None:
    """Forward the audit rows that a destination has not got yet, in batches and in order."""
    settings, run = get_memory_settings(), current_run()
    run.count(batches=0, forwarded=0, failed=0)
    if not settings.siem_enabled:
        run.quiet()
        return
    try:
        _Forwarding(settings, run, UUID(destination)).go_on()
    except BreakerOpen as error:
        raise Postponed(error.retry_after, str(error)) from error


class _Forwarding:
    """One attempt of a run."""

    def __init__(self, settings: MemorySettings, run: Run, name: UUID) -> None:
        self._settings, self._run, self._name = settings, run, name
        self._asked_for = run.trigger.partition(":")[0] not in _MACHINES
        self._given_up = ""

    def go_on(self) -> None:
        """Send until there is nothing left, the time is up or a batch fails.

        One that fails after others went well in a later attempt is left to the next run: it has all its attempts before
        it, and this run has not.
        """
        deadline, sent = time.monotonic() + _LONGEST_SECONDS, 0
        try:
            while time.monotonic() < deadline and not self._run.cancelled and self._next():
                sent += 1
        except BreakerOpen:
            raise
        except TransientError as error:
            if self._given_up:
                raise PermanentError(self._given_up) from error
            if not sent or self._run.attempt == 1:
                raise
        if not sent and not self._run.counts["failed"]:
            self._require_nothing_held_back()
            self._run.quiet()

    def _require_nothing_held_back(self) -> None:
        """A run that was asked for by the row itself comes as soon as that is written, and others may be at work."""
        if self._run.cancelled:
            return
        with transaction() as connection:
            destination = Destination.load(connection, self._name)
            if destination is None or batches.blocked_by(connection, destination.id) is not None:
                return
            if batches.held_back(connection, destination):
                raise Postponed(_HELD_BACK_SECONDS, "the rows to forward are behind a transaction that still runs")

    def _next(self) -> bool:
        """Send the next batch; False if there is none, or it may not be sent."""
        with transaction() as connection:
            destination = Destination.load(connection, self._name)
            if destination is None:
                return False
            blocked = batches.blocked_by(connection, destination.id) is not None
            rows = batches.next_rows(connection, destination, limit=self._settings.siem_batch)
        if not rows or (blocked and not self._asked_for):
            return False
        sender = Sender(self._settings, destination)
        with breaker(destination.breaker_key):
            with transaction() as connection:
                batch = batches.begin(connection, destination, rows, now=datetime.now(UTC))
            self._send(destination, batch, sender, blocked=blocked)
        return True

    def _send(self, destination: Destination, batch: Batch, sender: Sender, *, blocked: bool) -> None:
        began = time.monotonic()
        try:
            status = sender.send(batch.rows)
        except JobError as error:
            self._failed(destination, batch, error, (sender.status, time.monotonic() - began), blocked=blocked)
            raise
        with transaction() as connection:
            batches.succeeded(
                connection, destination, batch, status=status, seconds=time.monotonic() - began, now=datetime.now(UTC)
            )
        self._run.count(batches=1, forwarded=len(batch.rows))

    def _failed(
        self,
        destination: Destination,
        batch: Batch,
        error: JobError,
        answer: tuple[int | None, float],
        *,
        blocked: bool,
    ) -> None:
        """Write the failure down, and a dead letter after the last attempt; one that was one stays one."""
        self._run.count(failed=1)
        status, seconds = answer
        hopeless = not isinstance(error, TransientError)
        with transaction() as connection:
            batches.failed(connection, batch, status=status, error=str(error), seconds=seconds)
            if hopeless or batch.attempt >= ATTEMPTS:
                batches.give_up(connection, destination, batch, error=str(error), now=datetime.now(UTC))
        # The run may have attempts left that the batch has not, if others failed before it.
        if not (hopeless or blocked) and batch.attempt >= ATTEMPTS > self._run.attempt:
            self._given_up = f"batch {batch.id} is given up on after {batch.attempt} attempts: {error}"
