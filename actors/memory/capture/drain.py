"""One run over the capture queue.

Without a language model candidates are decided on by the batch, in one transaction: taken past those that somebody
else has, opened, decided, written and marked. Whoever dies leaves all of the batch pending. A batch that fails is done
again one by one, so that a poisoned candidate harms no other.

With a model a batch is first read and embedded, outside of any transaction, and then each candidate has its own,
because the next may be like the one before. While the model does not work, what needs it stays pending.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from actors.memory.capture import queue
from actors.memory.capture.decisions import CREATED, PENDING
from actors.memory.capture.promoting import promote
from actors.memory.capture.queue import Part, Pending, Verdict
from actors.memory.capture.sorting import sort_out
from actors.memory.summaries import wanted
from actors.memory.texts import Keyring
from callboard import CallboardError, PermanentError, Run, transaction

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

    from actors.memory.capture.likeness import Embedder
    from actors.memory.capture.queue import Extent
    from actors.memory.settings import MemorySettings

    Vectors = Mapping[int, array[float]]

_log = structlog.get_logger(__name__)


class Drain:
    """Decides on candidates and counts what it decided; with an embedder it looks for what is there already."""

    def __init__(self, settings: MemorySettings, run: Run, embedder: Embedder | None) -> None:
        self._settings, self._run, self._embedder = settings, run, embedder
        self._now = datetime.now(UTC)
        self._failure: PermanentError | None = None

    def drain(self, extent: Extent) -> None:
        """Decide on what was pending when the run began, up to `capture_limit`; returns early when it is cancelled.

        Raises:
            TransientError, AuthenticationError, PermanentError: The model does not work, or there is no key for texts;
                what needs it is pending still, and all else is decided.
        """
        after = done = 0
        total = min(extent.total, self._settings.capture_limit)
        while done < total and not self._run.cancelled:
            batch = self._next(Part(after, extent.last, self._settings.capture_attempts, self._settings.capture_batch))
            if not batch:
                break
            after, done = batch[-1].id, done + len(batch)
            self._run.progress(done, max(done, total), f"{done} of {total} candidates")
        self._raise_failure()

    def promote(self, candidate_id: int) -> bool:
        """Decide on one candidate; False if it is not pending, or somebody else has it.

        Raises:
            TransientError, AuthenticationError, PermanentError: As above.
        """
        with transaction() as connection:
            found = queue.take_one(connection, candidate_id)
        self._decide_alike(found)
        self._raise_failure()
        return bool(found)

    def _next(self, part: Part) -> Sequence[Pending]:
        if self._embedder is None:
            return self._decide(part)
        with transaction() as connection:
            batch = queue.read(connection, part)
        self._decide_alike(batch)
        return batch

    def _decide(self, part: Part) -> Sequence[Pending]:
        batch: Sequence[Pending] = ()
        try:
            with transaction() as connection:
                batch = queue.take(connection, part)
                verdicts = promote(connection, batch, {}, self._now)
        except PermanentError as error:
            self._fail(batch, error)
        except CallboardError:
            raise
        except Exception as error:  # noqa: BLE001 - whichever of them caused it, the others are to be decided on
            _log.warning("capture.batch_failed", candidates=len(batch), error=_why(error))
            self._decide_singly(batch, {})
        else:
            self._count(verdicts, {})
        return batch

    def _decide_alike(self, batch: Sequence[Pending]) -> None:
        """Decide on each by itself, after looking for vectors of those that are worth it."""
        try:
            with transaction() as connection:
                keyring = Keyring.of(connection, {candidate.user_id for candidate in batch})
                worthy = sort_out(connection, batch, keyring).worthy
        except PermanentError as error:
            self._fail(batch, error)
            return
        vectors, waiting = ({}, set[int]()) if self._embedder is None else self._embedder.embed(worthy)
        self._run.count(scanned=len(waiting), deferred=len(waiting))
        verdicts = self._decide_singly([candidate for candidate in batch if candidate.id not in waiting], vectors)
        created = [verdict.memory_id for verdict in verdicts if verdict.decision == CREATED and verdict.memory_id]
        if created and self._embedder is not None:
            with transaction() as connection:
                wanted(connection, created)

    def _decide_singly(self, batch: Sequence[Pending], vectors: Vectors) -> list[Verdict]:
        decided: list[Verdict] = []
        for candidate in batch:
            try:
                with transaction() as connection:
                    verdicts = promote(connection, queue.take_one(connection, candidate.id), vectors, self._now)
            except PermanentError as error:  # of the user's own key: that of the installation was there for the batch
                verdicts = self._give_up(candidate, error)
            except CallboardError:
                raise
            except Exception as error:  # noqa: BLE001 - one candidate's fault, whatever it is, must not stop the others
                verdicts = self._give_up(candidate, error)
            self._count(verdicts, vectors)
            decided += verdicts
        return decided

    def _give_up(self, candidate: Pending, error: Exception) -> list[Verdict]:
        """Note what was wrong; where that was the database, it fails again here, and the run with it."""
        _log.error("capture.candidate_failed", candidate_id=candidate.id, error=_why(error))
        verdict = queue.failed(candidate.id, _why(error))
        with transaction() as connection:
            queue.mark(connection, [verdict], self._now)
        return [verdict]

    def _fail(self, batch: Sequence[Pending], error: PermanentError) -> None:
        """There is no key for the texts of anybody in the batch; others may still have theirs."""
        self._failure = self._failure or error
        self._run.count(scanned=len(batch), deferred=len(batch))

    def _raise_failure(self) -> None:
        failure = self._failure or (self._embedder.failure if self._embedder is not None else None)
        if failure is not None:
            raise failure

    def _count(self, verdicts: Sequence[Verdict], vectors: Vectors) -> None:
        counts = Counter(verdict.decision for verdict in verdicts)
        errored = counts.pop(PENDING, 0)
        unchecked = sum(verdict.decision == CREATED and verdict.id not in vectors for verdict in verdicts)
        self._run.count(scanned=len(verdicts), errored=errored, unchecked=unchecked, **counts)


def _why(error: Exception) -> str:
    """Why it failed; Postgres' full message would quote what people wrote."""
    if isinstance(error, CallboardError):
        return str(error)
    cause = getattr(error, "orig", None) or error
    diagnosis = getattr(cause, "diag", None)
    return getattr(diagnosis, "message_primary", None) or type(cause).__name__
