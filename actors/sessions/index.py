"""The job `index_pending`: vectors for messages that have none.

Order of each batch: embed, delete and insert the vectors, then mark the messages. A crash anywhere leaves them pending,
and doing it again replaces the same rows.

When a batch fails, a probe tells whether Ollama still works. If not, the run stops and all that is left stays pending:
the run's retries, minutes apart, are the circuit breaker. If so, the batch is halved until the culprit stands alone: a
text that Ollama refuses (4xx) is marked failed; one on which it breaks (5xx, timeout) stays pending, and the run goes
on with the others.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from actors.sessions.chunker import ChunkLimits, chunk
from actors.sessions.clients.ollama import InputRefused, OllamaClient
from actors.sessions.pending import DONE, FAILED, PendingMessage, count_pending, mark, next_pending
from actors.sessions.settings import SessionsSettings, get_sessions_settings
from actors.sessions.vector_process import VectorProcess
from actors.sessions.vectors import VectorRow, VectorStoreError
from callboard import Backoff, PermanentError, Run, TransientError, current_run, every, job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROBE = "Is this text embedded?"


@job(
    "index_pending",
    queue="indexing",
    cadence=every(seconds=60),
    retry=Backoff(max_retries=8, base=30, cap=900),
    time_limit=3600,
    label="Index messages",
)
def index_pending() -> None:
    """Embed messages of assistants and store their vectors."""
    settings, run = get_sessions_settings(), current_run()
    total = min(count_pending(), settings.index_limit)
    run.count(total_messages=total, indexed_messages=0, indexed_chunks=0, skipped=0, failed=0, deferred=0, errors=0)
    if total == 0:
        return
    with OllamaClient.of(settings) as ollama, VectorProcess.of(settings) as store:
        try:
            Indexer(settings, run, ollama, store).index(total)
        except (TransientError, PermanentError, VectorStoreError) as error:
            raise _stopped(run, total, error) from error


def _stopped(run: Run, total: int, error: Exception) -> TransientError:
    """What ends a run early passes by waiting or by an administrator's hand, so that the run may be tried again."""
    run.count(errors=1)
    done = run.counts["indexed_messages"]
    return TransientError(f"indexed {done} of {total} messages, the others stay pending: {error}")


class _Cancelled(Exception):  # noqa: N818 - no error: it unwinds a batch that nobody wants any more
    pass


class Indexer:
    """One run over the messages that are pending."""

    def __init__(self, settings: SessionsSettings, run: Run, ollama: OllamaClient, store: VectorProcess) -> None:
        self._settings, self._run, self._ollama, self._store = settings, run, ollama, store
        self._limits = ChunkLimits(settings.chunk_longest, settings.chunk_overlap, settings.chunk_shortest)

    def index(self, total: int) -> None:
        """Index up to `total` messages, oldest first.

        Raises:
            TransientError, PermanentError: Ollama does not work, for any text.
            VectorStoreError: LanceDB does not.
        """
        self._ollama.require_model()
        done = 0
        try:
            for batch in self._batches(total):
                self._index(batch)
                done += len(batch)
                self._run.progress(done, total, f"{done} of {total} messages")
        except _Cancelled:
            self._run.log.info("index.cancelled", done=done, total=total)
        self._tidy()

    def _batches(self, total: int) -> Iterator[list[PendingMessage]]:
        last, left = 0, total
        while left > 0:
            self._stop_if_cancelled()
            most = min(left, self._settings.index_batch)
            batch = next_pending(last, most, self._settings.index_batch_bytes)
            if not batch:
                return
            yield batch
            last, left = batch[-1].id, left - len(batch)

    def _index(self, batch: Sequence[PendingMessage]) -> None:
        try:
            rows = self._embed(batch)
        except (InputRefused, TransientError) as error:
            self._ollama.embed([_PROBE])
            self._divide(batch, error)
        else:
            self._keep(batch, rows)

    def _embed(self, batch: Sequence[PendingMessage]) -> list[VectorRow]:
        texts = iter(
            [(message.id, *part) for message in batch for part in enumerate(chunk(message.text, self._limits))]
        )
        rows: list[VectorRow] = []
        while asked := list(islice(texts, self._settings.embed_batch)):
            self._stop_if_cancelled()
            vectors = self._ollama.embed([content for _, _, content in asked])
            rows += [VectorRow(*part, vector) for part, vector in zip(asked, vectors, strict=True)]
        return rows

    def _keep(self, batch: Sequence[PendingMessage], rows: Sequence[VectorRow]) -> None:
        ids = [message.id for message in batch]
        self._store.replace(ids, rows)
        mark(ids, DONE)
        indexed = len({row.message_id for row in rows})
        self._run.count(indexed_messages=indexed, indexed_chunks=len(rows), skipped=len(batch) - indexed)

    def _divide(self, batch: Sequence[PendingMessage], error: InputRefused | TransientError) -> None:
        if len(batch) == 1:
            self._give_up(batch[0], error)
            return
        middle = len(batch) // 2
        self._index(batch[:middle])
        self._index(batch[middle:])

    def _give_up(self, message: PendingMessage, error: InputRefused | TransientError) -> None:
        refused = isinstance(error, InputRefused)
        if refused:
            mark([message.id], FAILED)
        self._run.count(**{"failed" if refused else "deferred": 1, "errors": 1})
        event = "index.message_failed" if refused else "index.message_deferred"
        self._run.log.warning(event, message_id=message.id, characters=len(message.text), error=str(error))

    def _tidy(self) -> None:
        """Every batch adds a file; long before there are thousands, reads and writes get slow."""
        if self._store.fragments() > self._settings.vectors_fragments:
            self._store.compact(self._settings.vectors_keep_seconds)

    def _stop_if_cancelled(self) -> None:
        if self._run.cancelled:
            raise _Cancelled
