"""The job `run_sync_job`: one sync of one connection, page by page."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from dramatiq.middleware import Shutdown
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from actors.memory.clients.source import CursorExpired, Page, RateLimited
from actors.memory.settings import MemorySettings, get_memory_settings
from actors.memory.syncs import state
from actors.memory.syncs.pages import NAMES, forget_unseen, write_page
from actors.memory.syncs.sources import open_source
from actors.memory.syncs.state import Lost, Task
from callboard import (
    AuthenticationError,
    BreakerOpen,
    Delays,
    PermanentError,
    Postponed,
    Run,
    TransientError,
    current_run,
    job,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.memory.clients.source import Source

_DEFAULT_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0
_MOST_RESTARTS = 2
_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)


@job(
    "run_sync_job",
    queue="syncs",
    retry=Delays(60, 300, 900, jitter=0),
    time_limit=3600,
    single_per="sync_job_id",
    durable=True,
    label="Sync a connection",
)
def run_sync_job(sync_job_id: str) -> None:
    """Bring in what changed at the provider of one connection."""
    run, settings = current_run(), get_memory_settings()
    sync(UUID(sync_job_id), run, settings)


def sync(
    job_id: UUID, run: Run, settings: MemorySettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Do, or go on with, a sync job; see `actors.memory.syncs` for its states.

    Raises:
        Postponed: Too many others run, the provider's breaker is open, or it wants us to wait and we got on before.
        TransientError: To be tried again.
        PermanentError, AuthenticationError: It failed.
    """
    run.count(**dict.fromkeys(NAMES, 0))
    replayed = run.trigger.startswith("replay:")
    task = state.begin(job_id, clock(), limit=settings.sync_tenant_limit, replayed=replayed)
    if task is None:
        run.quiet()
        return
    with _ending(task, clock), open_source(task, settings) as source:
        _Sync(task, source, run, settings, clock).run()


class _Sync:
    """The pages of one attempt."""

    def __init__(
        self, task: Task, source: Source, run: Run, settings: MemorySettings, clock: Callable[[], datetime]
    ) -> None:
        self._task, self._source, self._run, self._clock = task, source, run, clock
        self._limit = settings.sync_page_limit
        self._seen = {task.cursor}
        self._restarts = 0

    def run(self) -> None:
        """Read until the end or the page limit, and complete the job; or stop when it is cancelled."""
        task = self._task
        while not task.read_to_end and task.pages < self._limit:
            if self._run.cancelled:
                state.cancel(task, self._clock())
                return
            self._next()
        if task.read_to_end and task.type == "FULL" and self._source.complete and not task.failed_items:
            self._run.count(**forget_unseen(task, self._clock()))
        state.complete(task, self._clock(), self._note())

    def _note(self) -> str | None:
        if not self._task.read_to_end:
            return f"stopped at the limit of {self._limit} pages; the next sync goes on there"
        failed = self._task.failed_items
        return f"{failed} objects could not be read" if failed else None

    def _next(self) -> None:
        try:
            page = self._source.page(self._task.cursor)
        except CursorExpired:
            self._start_over()
            return
        self._require_movement(page)
        counts = write_page(self._task, page, self._clock())
        self._run.count(**{name: counts[name] for name in NAMES})
        self._tell()

    def _start_over(self) -> None:
        self._restarts += 1
        if self._task.cursor is None or self._restarts > _MOST_RESTARTS:
            raise TransientError(f"{self._task.provider} lets every cursor expire at once")
        self._run.log.info("sync.cursor_expired", sync_job_id=str(self._task.id), provider=self._task.provider)
        state.start_over(self._task)
        self._seen = {None}

    def _require_movement(self, page: Page) -> None:
        if page.more and page.cursor in self._seen:
            raise TransientError(f"{self._task.provider} repeats a cursor after page {self._task.pages}; it never ends")
        self._seen.add(page.cursor)

    def _tell(self) -> None:
        done, failed = self._run.counts["processed_items"], self._run.counts["failed_items"]
        self._run.progress(done, 0, f"{done} objects on {self._task.pages} pages, {failed} failed")


@contextmanager
def _ending(task: Task, clock: Callable[[], datetime]) -> Iterator[None]:
    """Writes down what became of the job when the block raises, and raises what the engine is to know."""
    before = task.pages
    try:
        yield
    except Lost:
        return
    except Shutdown:
        state.put_back(task, "the worker stopped", counted=False)
        raise
    except (BreakerOpen, RateLimited) as error:
        if isinstance(error, RateLimited) and task.pages == before:
            _retry(task, error, clock)
        state.put_back(task, str(error), counted=False)
        pause = _DEFAULT_PAUSE if error.retry_after is None else error.retry_after
        raise Postponed(min(pause, _LONGEST_PAUSE), str(error)) from error
    except TransientError as error:
        _retry(task, error, clock)
    except _AWAY:  # nothing can be written now; the next attempt takes the job over
        raise
    except Exception as error:
        state.fail(task, clock(), f"{_told(error)}", reconnect=isinstance(error, AuthenticationError))
        raise


def _retry(task: Task, error: TransientError, clock: Callable[[], datetime]) -> None:
    """Always raises."""
    if task.last_attempt:
        state.fail(task, clock(), str(error))
        raise PermanentError(f"given up after {task.attempts} attempts: {error}") from error
    state.put_back(task, str(error), counted=True)
    raise error


def _told(error: Exception) -> str:
    """Ours speak for themselves; what another says may quote what people wrote."""
    ours = isinstance(error, PermanentError | AuthenticationError)
    return str(error) if ours else f"unexpected {type(error).__name__}"
