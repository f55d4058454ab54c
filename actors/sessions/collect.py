"""The job `collect_all`: what is new in the session files of all tools goes into Postgres."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog

from actors.sessions.adapters import Adapter, Limits, Listing, Slice, Source, all_adapters
from actors.sessions.settings import SessionsSettings, get_sessions_settings
from actors.sessions.store import REFUSALS, Batch, forget, load_states, write_batch, write_piecemeal
from callboard import Backoff, Run, current_run, every, job, transaction

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from actors.sessions.reader import FileState

_log = structlog.get_logger(__name__)
_MOST_SLICES = 1000


@job(
    "collect_all",
    queue="sessions",
    cadence=every(seconds=30),
    retry=Backoff(max_retries=3),
    time_limit=3600,
    single=True,
    label="Collect sessions",
)
def collect_all() -> None:
    """Copy new messages of Claude Code, Codex, OpenCode and Gemini into Postgres."""
    settings, run = get_sessions_settings(), current_run()
    with ThreadPoolExecutor(1, thread_name_prefix="sessions-writer") as thread:
        Collector(settings, run, Writer(settings, run, thread)).collect(all_adapters(settings))


class Writer:
    """Writes one batch in a thread of its own while the next is read: Postgres works on it in another process."""

    def __init__(self, settings: SessionsSettings, run: Run, thread: ThreadPoolExecutor) -> None:
        self._settings, self._run, self._thread = settings, run, thread
        self._pending: Future[Counter[str]] | None = None
        self._withheld: set[str] = set()

    def write(self, batch: Batch) -> None:
        """Hand over a batch, after the one before it is committed; raises what that one raised."""
        self.wait()
        self._pending = self._thread.submit(copy_context().run, self._write, batch)

    def wait(self) -> None:
        """Return when all batches are committed, and count what went in."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._run.count(**pending.result())

    def _write(self, batch: Batch) -> Counter[str]:
        keep_raw = self._settings.keep_raw
        try:
            with transaction() as connection:
                return write_batch(connection, batch, self._withheld, keep_raw=keep_raw)
        except REFUSALS:
            _log.warning("sessions.batch_refused", source=batch.source, messages=batch.messages)
        with transaction() as connection:
            return write_piecemeal(connection, batch, self._withheld, keep_raw=keep_raw)


class Collector:
    """One pass over all adapters; what fails in an adapter, a file or a line is counted, logged and left."""

    def __init__(self, settings: SessionsSettings, run: Run, writer: Writer) -> None:
        self._settings, self._run, self._writer = settings, run, writer
        self._limits = Limits(
            max_line=settings.max_line_bytes,
            max_document=settings.max_document_bytes,
            slice_messages=settings.collect_batch_messages,
            slice_bytes=settings.collect_batch_bytes,
            overlap=settings.overlap_seconds,
            now=time.time(),
        )

    def collect(self, adapters: list[Adapter]) -> None:
        """Collect from each adapter in turn; returns early when the run is cancelled."""
        names = ("projects_scanned", "sessions_scanned", "messages_inserted", "lines_rejected", "oversized", "errors")
        self._run.count(**dict.fromkeys(names, 0))
        with transaction() as connection:
            states = load_states(connection)
        for adapter in adapters:
            if not self._run.cancelled:
                self._collect(adapter, states.get(adapter.name, {}))

    def _collect(self, adapter: Adapter, states: dict[str, FileState]) -> None:
        listing = self._list(adapter, known=bool(states))
        if listing is None:
            return
        changed = [source for source in listing.sources if self._is_changed(adapter, source, states.get(source.key))]
        batch = Batch(adapter.name)
        for done, source in enumerate(changed):
            if self._run.cancelled:
                break
            self._run.progress(done, len(changed), adapter.name)
            for part in self._slices(adapter, source, states.get(source.key)):
                batch = self._add(batch, part)
        self._writer.write(batch)
        self._writer.wait()
        if not listing.errors:
            self._forget(states.keys() - {source.key for source in listing.sources})

    def _list(self, adapter: Adapter, *, known: bool) -> Listing | None:
        try:
            listing = adapter.list()
        except Exception:  # noqa: BLE001 - one adapter's fault, whatever it is, must not stop the others
            self._run.count(errors=1)
            _log.exception("sessions.adapter_failed", source=adapter.name, folder=str(adapter.root))
            return None
        for path, error in listing.errors:
            self._run.count(errors=1)
            _log.error("sessions.folder_unreadable", source=adapter.name, folder=str(path), error=str(error))
        if listing.missing:
            self._report_missing(adapter, known=known)
            return None
        projects = {source.project for source in listing.sources}
        self._run.count(projects_scanned=len(projects), sessions_scanned=len(listing.sources))
        return listing

    def _report_missing(self, adapter: Adapter, *, known: bool) -> None:
        """A tool that is not installed is no news; a folder that was collected from and is gone is."""
        if known:
            self._run.count(folders_missing=1)
            _log.warning("sessions.folder_missing", source=adapter.name, folder=str(adapter.root))

    def _is_changed(self, adapter: Adapter, source: Source, state: FileState | None) -> bool:
        try:
            return not adapter.is_unchanged(source, state, self._limits)
        except Exception:  # noqa: BLE001 - one file's fault must not stop the others; it is read, and judged there
            _log.exception("sessions.state_unreadable", source=adapter.name, path=source.key)
            return True

    def _slices(self, adapter: Adapter, source: Source, state: FileState | None) -> Iterator[Slice]:
        try:
            yield from adapter.read(source, state, self._limits)
        except FileNotFoundError:
            self._run.count(files_vanished=1)
            _log.info("sessions.file_vanished", source=adapter.name, path=source.key)
        except Exception:  # noqa: BLE001 - one file's fault must not stop the others; its state stays as it was
            self._run.count(errors=1)
            _log.exception("sessions.file_failed", source=adapter.name, path=source.key)

    def _add(self, batch: Batch, part: Slice) -> Batch:
        """Add a slice to the batch; returns the batch that the next one goes to."""
        self._report(batch.source, part)
        batch.add(part)
        full = batch.messages >= self._limits.slice_messages or batch.size >= self._limits.slice_bytes
        if full or len(batch.slices) >= _MOST_SLICES:
            self._writer.write(batch)
            return Batch(batch.source)
        return batch

    def _report(self, source: str, part: Slice) -> None:
        self._run.count(lines_rejected=part.rejected, oversized=part.oversized, lines_skipped=part.skipped)
        if part.restarted:
            self._run.count(files_restarted=1)
            _log.info("sessions.file_restarted", source=source, path=part.source.key)
        if part.rejected or part.oversized:
            _log.warning(
                "sessions.input_rejected",
                source=source,
                path=part.source.key,
                rejected=part.rejected,
                oversized=part.oversized,
                first=part.complaint,
            )

    def _forget(self, keys: set[str]) -> None:
        if keys:
            with transaction() as connection:
                self._run.count(files_forgotten=forget(connection, sorted(keys)))
